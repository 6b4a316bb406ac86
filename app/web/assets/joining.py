"""A module and all that it imports as one file, so that a browser asks once and not thirty times.

Nothing is translated: each module becomes a function that is called once, in the order in which a browser would have
evaluated the modules, and hands on what it exports. It takes the plain forms of `import` and `export` that stand in
`static/`, and raises `JoiningError` at any other, and where modules import each other in a circle. A style sheet gets
its parts in the place of its `@import` rules, which keeps the order of the cascade.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from posixpath import dirname, normpath, relpath
from typing import NamedTuple

_IMPORT = re.compile(
    r"""^import\s*(?:(\{[^}]*\}|\*\s*as\s+\w+)\s*from\s*)?"(\.{1,2}/[^"]+)";\n?""", re.MULTILINE
)
_LATE = re.compile(r"""(\bimport\(|\bnew URL\()"(\.{1,2}/[^"]+)\"""")
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function\*?|class|const) (\w+))", re.MULTILINE)
_EXPORT_LIST = re.compile(r"(?:^|(?<=\})|(?<=;))export\s*\{([^}]*)\};?\s*\Z")
_LEFT = re.compile(r"^\s*(?:import\b(?!\s*[(.])|export\b).*", re.MULTILINE)
_STYLE_IMPORT = re.compile(r"""^@import "(\./[^"]+)";\n""", re.MULTILINE)
_AS = re.compile(r"(\w+|\$)\s+as\s+(\w+)")


class JoiningError(Exception):
    """A module cannot be joined with its imports."""


class Joined(NamedTuple):
    """A module, and before it all that it imports."""

    source: str
    parts: dict[str, str]  # by the module's name, in the order of evaluation

    @property
    def text(self) -> str:
        """The one file."""
        return "".join(self.parts.values()) + self.source

    @property
    def shared(self) -> str:
        """The one file, which lets modules that are loaded later take from it what it has."""
        names = ", ".join(_variable(name, self.parts) for name in self.parts)
        return f"{self.text}export {{ {names} }};\n" if names else self.text


class Joiner:
    """Joins modules. `read` returns the text of a file by its name."""

    def __init__(self, read: Callable[[str], str]) -> None:
        self._read = read

    def join(self, entry: str) -> Joined:
        """Join the module `entry` with all that it imports."""
        parts: dict[str, str] = {}
        return Joined(self._with_imports(entry, parts, (entry,)), parts)

    def beside(self, name: str, entry: str, joined: Joined) -> str:
        """Return a module that a page loads later: what is in `joined` already it takes from there.

        So each module is evaluated once, and what one of them remembers, all who import it know.
        """
        if name in joined.parts:
            variable = _variable(name, joined.parts)
            names = ", ".join(each.partition(":")[0] for each in _exports(self._read(name)))
            return f"{_taking(variable, name, entry)}export const {{ {names} }} = {variable};\n"

        def replace(found: re.Match[str]) -> str:
            imported = _neighbour(name, found[2])
            if imported not in joined.parts:
                return found[0]
            variable = _variable(imported, joined.parts)
            return _taking(variable, name, entry) + _binding(found[1], variable)

        return _IMPORT.sub(replace, self._read(name))

    def _with_imports(self, name: str, parts: dict[str, str], path: tuple[str, ...]) -> str:
        """Put what a module imports into `parts`; return its text with those imports in place."""

        def replace(found: re.Match[str]) -> str:
            imported = _neighbour(name, found[2])
            if imported in path:
                raise JoiningError(f"modules import each other: {' → '.join((*path, imported))}")
            if imported not in parts:
                inner = self._with_imports(imported, parts, (*path, imported))
                parts[imported] = ""  # its number is the next one
                parts[imported] = (
                    f"const {_variable(imported, parts)} = (() => {{\n{_handing_on(inner)}}})();\n"
                )
            return _binding(found[1], _variable(imported, parts))

        source = _readdressed(self._read(name), name, path[0])
        return _checked(name, _IMPORT.sub(replace, source))


def style(read: Callable[[str], str], entry: str) -> str:
    """Return the style sheet `entry` with its parts in it. Raises `JoiningError` if a part imports others."""

    def replace(found: re.Match[str]) -> str:
        part = _neighbour(entry, found[1])
        text = read(part)
        if "@import" in text:
            raise JoiningError(f"{part}: only {entry} may import style sheets")
        return text

    joined = _STYLE_IMPORT.sub(replace, read(entry))
    if "@import" in joined:
        raise JoiningError(f'{entry}: each import has a line of its own, @import "./name.css";')
    return joined


def _neighbour(name: str, address: str) -> str:
    """Return the name of what a module imports by a relative address."""
    return normpath(f"{dirname(name)}/{address}").removeprefix("/")


def _readdressed(source: str, name: str, entry: str) -> str:
    """Return a module's text with the addresses that it loads later relative to `entry`, where it will stand."""

    def replace(found: re.Match[str]) -> str:
        address = relpath(_neighbour(name, found[2]), dirname(entry) or ".")
        return f'{found[1]}"{address if address.startswith("../") else f"./{address}"}"'

    return _LATE.sub(replace, source)


def _taking(variable: str, name: str, entry: str) -> str:
    """Return the import by which the module `name` gets a variable of the joined file."""
    way = "../" * name.count("/") or "./"
    return f'import {{ {variable} }} from "{way}{entry}";\n'


def _variable(name: str, parts: Iterable[str]) -> str:
    """Return what the exports of a module are called in the joined file: its number there, for every page loads it."""
    return f"${list(parts).index(name)}"


def _binding(names: str | None, variable: str) -> str:
    """Return what takes the place of an import."""
    if names is None:
        return ""
    if names.startswith("*"):
        return f"const {names.split()[-1]} = {variable};\n"
    renamed = _AS.sub(r"\1: \2", names)
    return f"const {renamed} = {variable};\n"


def _exports(source: str) -> list[str]:
    """Return what a module exports, as `name`, or as `name: local` where the two differ."""
    exported: list[str] = _EXPORT.findall(source)
    if listed := _EXPORT_LIST.search(source):
        exported += [_AS.sub(r"\2: \1", name.strip()) for name in listed[1].split(",")]
    return exported


def _handing_on(source: str) -> str:
    """Return a module's text as the body of a function that returns its exports."""
    exported = ", ".join(_exports(source))
    source = _EXPORT.sub("", _EXPORT_LIST.sub("\n", source))
    return f"{source}return {{ {exported} }};\n" if exported else source


def _checked(name: str, source: str) -> str:
    """Return the text. Raises `JoiningError` if there is an import or an export of another form in it."""
    rest = _EXPORT_LIST.sub("", _EXPORT.sub("", source))
    if left := _LEFT.search(rest):
        raise JoiningError(f"{name}: {left[0].strip()!r} is not one of the forms that can be joined")
    return source
