"""A module and all that it imports as one file, so that a browser asks once and not thirty times.

Nothing is translated: each module becomes a function that is called once, in the order in which a browser would have
evaluated the modules, and hands on what it exports. It takes the plain forms of `import` and `export` that stand in
`static/`, and raises `JoiningError` at any other, and where modules import each other in a circle.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath

_IMPORT = re.compile(r"""^import\s*(?:(\{[^}]*\}|\*\s*as\s+\w+)\s*from\s*)?"(\./[^"]+)";\n?""", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function\*?|class|const) (\w+))", re.MULTILINE)
_EXPORT_LIST = re.compile(r"(?:^|(?<=\})|(?<=;))export\s*\{([^}]*)\};?\s*\Z")
_LEFT = re.compile(r"^\s*(?:import\b(?!\s*[(.])|export\b).*", re.MULTILINE)
_AS = re.compile(r"(\w+|\$)\s+as\s+(\w+)")


class JoiningError(Exception):
    """A module cannot be joined with its imports."""


class Joiner:
    """Joins modules. `read` returns the text of a file by its name."""

    def __init__(self, read: Callable[[str], str]) -> None:
        self._read = read

    def join(self, name: str) -> str:
        """Return the module `name` with all that it imports. Its own exports stay exports."""
        parts: dict[str, str] = {}  # by the module's name, in the order of evaluation
        source = self._with_imports(name, parts, (name,))
        return "".join(parts.values()) + source

    def _with_imports(self, name: str, parts: dict[str, str], path: tuple[str, ...]) -> str:
        """Put what a module imports into `parts`; return its text with those imports in place."""

        def replace(found: re.Match[str]) -> str:
            names, address = found.groups()
            imported = str(PurePosixPath(name).parent / address)
            if imported in path:
                raise JoiningError(f"modules import each other: {' → '.join((*path, imported))}")
            if imported not in parts:
                inner = self._with_imports(imported, parts, (*path, imported))
                parts[imported] = f"const {_variable(imported)} = (() => {{\n{_handing_on(inner)}}})();\n"
            return _binding(names, _variable(imported))

        return _checked(name, _IMPORT.sub(replace, self._read(name)))


def _variable(name: str) -> str:
    """Return what the exports of a module are called in the joined file. No module has such names itself."""
    return "$" + re.sub(r"\W", "_", name.removesuffix(".js"))


def _binding(names: str | None, variable: str) -> str:
    """Return what takes the place of an import."""
    if names is None:
        return ""
    if names.startswith("*"):
        return f"const {names.split()[-1]} = {variable};\n"
    renamed = _AS.sub(r"\1: \2", names)
    return f"const {renamed} = {variable};\n"


def _handing_on(source: str) -> str:
    """Return a module's text as the body of a function that returns its exports."""
    exported = _EXPORT.findall(source)
    if listed := _EXPORT_LIST.search(source):
        exported += [_AS.sub(r"\2: \1", name.strip()) for name in listed[1].split(",")]
        source = source[: listed.start()] + "\n"
    source = _EXPORT.sub("", source)
    return f"{source}return {{ {', '.join(exported)} }};\n" if exported else source


def _checked(name: str, source: str) -> str:
    """Return the text. Raises `JoiningError` if there is an import or an export of another form in it."""
    rest = _EXPORT_LIST.sub("", _EXPORT.sub("", source))
    if left := _LEFT.search(rest):
        raise JoiningError(f"{name}: {left[0].strip()!r} is not one of the forms that can be joined")
    return source
