"""One setting as a row of the table: its names, its type, and the message for an invalid value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

PREFIX = "TAILRACE_"


class Row(NamedTuple):
    """One setting, as used by the table, the messages and the documentation."""

    field: str
    type: Any  # for `msgspec.convert`
    default: str  # as written in the environment
    unit: str  # "s", "bytes", "tokens" or ""
    expects: str  # completes "expected …"
    none: str  # the word for `None`, "" if `None` is not allowed
    secret: bool
    description: str
    check: Callable[[Any], bool] | None = None  # of a value that has the type

    @property
    def env(self) -> str:
        """The name in the environment."""
        return PREFIX + self.field.rstrip("_").upper()  # fields named like a Python keyword end in `_`

    @property
    def is_list(self) -> bool:
        """Whether the value is a comma-separated list."""
        return get_origin(self.type.__origin__) is tuple

    @property
    def key(self) -> str:
        """The name in the configuration file."""
        return self.field.rstrip("_")

    def parse(self, raw: str | None) -> Any:
        """Convert `raw`. Raises `msgspec.ValidationError` if it is invalid or `None`."""
        if raw is None:
            raise msgspec.ValidationError("a value of another type")
        if self.type.__origin__ is not Path and not _is_utf_8(raw):  # a path may have any bytes
            raise msgspec.ValidationError("not UTF-8")
        if raw and raw == self.none:
            return None
        value = _entries(raw) if self.is_list else raw
        made = msgspec.convert(value, self.type, strict=False, dec_hook=_made)
        if self.check is not None and not self.check(made):
            raise msgspec.ValidationError(f"expected {self.expects}")
        return made

    def problem(self, raw: str, name: str = "") -> str:
        """Return the message for an invalid `raw`. For a list it shows only the invalid entries.

        A value with `@` or `?` is hidden like a secret: it may contain a password or a key.
        """
        if self.is_list:
            raw = ", ".join(entry for entry in _entries(raw) if not self._takes(entry))
        shown = " (value hidden)" if self.secret or "@" in raw or "?" in raw else f"={raw[:80]!r}"
        return f"{name or self.env}{shown}: expected {self.expects}"

    def written(self, value: Any) -> str | None:
        """Return a value of the configuration file as written in the environment, or `None` if its type is wrong."""
        kind = self.type.__origin__
        match value:
            case bool():
                return str(int(value)) if kind is bool else None
            case str():
                return value.strip()
            case int() | float() if isinstance(value, kind) or kind is float:
                return repr(value)
            case list() if self.is_list and all(isinstance(entry, str) for entry in value):
                return ",".join(value)
        return None

    def shown(self, value: Any) -> str:
        """Return a value for a log. Secrets are masked, and URLs that may contain a password or a key."""
        is_hidden = self.secret or (isinstance(value, str) and bool({"@", "?"} & set(value)))
        return "***" if is_hidden else repr(value)

    def _takes(self, entry: str) -> bool:
        try:
            self.parse(entry)
        except msgspec.ValidationError:
            return False
        return True


def _entries(raw: str) -> list[str]:
    return [entry.strip() for entry in raw.split(",") if entry.strip()]


def _is_utf_8(raw: str) -> bool:
    """Return whether a variable was UTF-8. Python reads other bytes as surrogates."""
    try:
        raw.encode()
    except UnicodeEncodeError:
        return False
    return True


def _made(kind: type, value: Any) -> Any:
    """Convert to a type that JSON does not have. Raises `ValueError`, which msgspec turns into its own error."""
    return Path(value).expanduser() if kind is Path else kind(value)


def _row(field: str, annotation: Any, default: Any) -> Row:
    """Build a row from a field's `Annotated[kind, description]` or `Annotated[kind | None, description]`."""
    description = annotation.__metadata__[-1]
    optional = get_origin(annotation.__origin__) in (Union, UnionType)
    kind = get_args(annotation.__origin__)[0] if optional else annotation
    meta = kind.__metadata__[0]
    notes: dict[str, Any] = (meta.extra or {}) if isinstance(meta, Meta) else {}
    return Row(
        field=field,
        type=kind,
        default=_default(default),
        unit=notes.get("unit", ""),
        expects=notes.get("expects") or "one of " + ", ".join(get_args(kind.__origin__)),
        none=notes.get("none", ""),
        secret=notes.get("secret", False),
        description=description,
        check=notes.get("check"),
    )


def _default(value: Any) -> str:
    """Return a default as written in the environment, or a description of it."""
    match value:
        case None | ():
            return "none"
        case Path():
            return "the platform's data folder"
        case bool() as flag:
            return str(int(flag))
        case float() as number:
            return f"{number:g}"
        case _:
            return str(value)


def rows(defaults: msgspec.Struct) -> tuple[Row, ...]:
    """Return the rows of a struct's annotated fields. Other fields cannot be set in the environment."""
    hints = get_type_hints(type(defaults), include_extras=True)
    return tuple(
        _row(field, annotation, getattr(defaults, field))
        for field, annotation in hints.items()
        if hasattr(annotation, "__metadata__")
    )
