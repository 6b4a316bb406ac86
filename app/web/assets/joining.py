"""Bundles a module with all its imports into one file, so that a browser sends one request instead of thirty.

The code is not transpiled: each module becomes a function that is called once, in the browser's evaluation order, and
returns its exports. Only the simple forms of `import` and `export` used in `static/` are supported; other forms and
import cycles raise `JoiningError`. `import TEXT from "./style.css" with { type: "text" }` becomes a string. In a style
sheet each `@import` rule is replaced by the imported file, which keeps the cascade order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from posixpath import dirname, normpath, relpath
from typing import NamedTuple

_IMPORT = re.compile(
    r"""^import\s*(?:(\{[^}]*\}|\*\s*as\s+\w+)\s*from\s*)?"(\.{1,2}/[^"]+)";\n?""", re.MULTILINE
)
_TEXT_IMPORT = re.compile(
    r"""^import (\w+) from "(\.{1,2}/[^"]+)" with \{ type: "text" \};\n""", re.MULTILINE
)
_LATE = re.compile(r"""(\bimport\(|\bnew URL\()"(\.{1,2}/[^"]+)\"""")
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function\*?|class|const) (\w+))", re.MULTILINE)
_EXPORT_LIST = re.compile(r"(?:^|(?<=[};\n]))export\s*\{([^}]*)\};?\s*\Z")
_LEFT = re.compile(r"^\s*(?:import\b(?!\s*[(.])|export\b).*", re.MULTILINE)
_STYLE_IMPORT = re.compile(r"""^@import "(\.{1,2}/[^"]+)";\n""", re.MULTILINE)
_AS = re.compile(r"(\w+|\$)\s+as\s+(\w+)")


class JoiningError(Exception):
    """A module or style sheet cannot be bundled with its imports."""


class Joined(NamedTuple):
    """A bundled module: its own source, and the modules that precede it."""

    source: str
    parts: dict[str, str]  # the imported modules by name, in evaluation order

    @property
    def text(self) -> str:
        """The bundle."""
        return "".join(self.parts.values()) + self.source

    @property
    def shared(self) -> str:
        """The bundle with its modules exported, for modules that are loaded later."""
        names = ", ".join(_variable(name, self.parts) for name in self.parts)
        return f"{self.text}export {{ {names} }};\n" if names else self.text


class Joiner:
    """Bundles modules. `read` returns the text of a module by its name, `text` of what is imported as text."""

    def __init__(self, read: Callable[[str], str], text: Callable[[str], str] | None = None) -> None:
        self._read = read
        self._text = text or read

    def join(self, entry: str) -> Joined:
        """Return the module `entry` bundled with all its imports. Raises `JoiningError`."""
        parts: dict[str, str] = {}
        return Joined(self._with_imports(entry, parts, (entry,)), parts)

    def beside(self, name: str, entry: str, joined: Joined) -> str:
        """Return a module that a page loads later. It takes modules that are in `joined` from that bundle.

        Each module is therefore evaluated once, and all importers share its state.
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
        """Add a module's imports to `parts`; return its text with the imports replaced."""

        def replace(found: re.Match[str]) -> str:
            imported = _neighbour(name, found[2])
            if imported in path:
                raise JoiningError(f"modules import each other: {' → '.join((*path, imported))}")
            if imported not in parts:
                inner = self._with_imports(imported, parts, (*path, imported))
                parts[imported] = ""  # reserves the next number
                parts[imported] = (
                    f"const {_variable(imported, parts)} = (() => {{\n{_handing_on(inner)}}})();\n"
                )
            return _binding(found[1], _variable(imported, parts))

        def quote(found: re.Match[str]) -> str:
            return f"const {found[1]} = {json.dumps(self._text(_neighbour(name, found[2])))};\n"

        source = _TEXT_IMPORT.sub(quote, _readdressed(self._read(name), name, path[0]))
        return _checked(name, _IMPORT.sub(replace, source))


def style(read: Callable[[str], str], entry: str) -> str:
    """Return the style sheet `entry` with its imports inlined. Raises `JoiningError` for nested or malformed ones."""

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
    """Resolve a relative import of the module `name`; return the imported module's name."""
    return normpath(f"{dirname(name)}/{address}").removeprefix("/")


def _readdressed(source: str, name: str, entry: str) -> str:
    """Return a module's text with the addresses of its dynamic imports made relative to `entry`, the bundle."""

    def replace(found: re.Match[str]) -> str:
        address = relpath(_neighbour(name, found[2]), dirname(entry) or ".")
        return f'{found[1]}"{address if address.startswith("../") else f"./{address}"}"'

    return _LATE.sub(replace, source)


def _taking(variable: str, name: str, entry: str) -> str:
    """Return the import statement that gives the module `name` a variable of the bundle."""
    way = "../" * name.count("/") or "./"
    return f'import {{ {variable} }} from "{way}{entry}";\n'


def _variable(name: str, parts: Iterable[str]) -> str:
    """Return the variable that holds a module's exports in the bundle: its number, which is short."""
    return f"${list(parts).index(name)}"


def _binding(names: str | None, variable: str) -> str:
    """Return the statement that replaces an import."""
    if names is None:
        return ""
    if names.startswith("*"):
        return f"const {names.split()[-1]} = {variable};\n"
    renamed = _AS.sub(r"\1: \2", names)
    return f"const {renamed} = {variable};\n"


def _exports(source: str) -> list[str]:
    """Return a module's exports, each as `name`, or as `name: local` if the two differ."""
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
    """Return `source`. Raises `JoiningError` if it contains an unsupported form of import or export."""
    rest = _EXPORT_LIST.sub("", _EXPORT.sub("", source))
    if left := _LEFT.search(rest):
        raise JoiningError(f"{name}: {left[0].strip()!r} is not one of the forms that can be joined")
    return source
