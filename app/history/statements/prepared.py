"""Statements of the hot paths: compiled once, then executed by the driver."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from sqlalchemy import Connection, Dialect, Executable, Row
from sqlalchemy.sql.compiler import SQLCompiler

Values = Mapping[str, Any]  # by the names of columns and bind parameters


class _Compiled(NamedTuple):
    """The text of a statement for one dialect, and its parameters by position."""

    text: str
    names: Sequence[str]
    constants: Values
    converters: Mapping[str, Callable[[Any], Any]]

    def row(self, values: Values) -> tuple[Any, ...]:
        """Return the parameters for one execution."""
        given = {**self.constants, **values}
        for name, convert in self.converters.items():
            given[name] = convert(given[name])
        return tuple(map(given.__getitem__, self.names))


class Prepared:
    """One statement, or what makes it of a dialect's own `insert`, which has `ON CONFLICT`.

    An insert or update sets only `columns`, and those of its own values.

    SQLAlchemy's own execution costs four times as much: each time it derives a cache key from the whole statement, and
    wraps parameters and results. Results are as the driver returns them, so do not select columns of converted types.
    """

    def __init__(
        self, statement: Executable | Callable[[Any], Executable], columns: Sequence[str] | None = None
    ) -> None:
        self._statement = statement
        self._columns = columns
        self._compiled: dict[str, _Compiled] = {}  # by dialect

    def run(self, connection: Connection, rows: Sequence[Values]) -> None:
        """Execute the statement for each of `rows`, of which there is at least one."""
        compiled = self._for(connection.dialect)
        connection.exec_driver_sql(compiled.text, [compiled.row(values) for values in rows])

    def one(self, connection: Connection, values: Values) -> tuple[Any, ...] | None:
        """Return the only row that a query finds, or `None`."""
        compiled = self._for(connection.dialect)
        found = connection.exec_driver_sql(compiled.text, compiled.row(values)).one_or_none()
        return None if found is None else tuple(found)

    def all(self, connection: Connection, values: Values) -> Sequence[Row[*tuple[Any, ...]]]:
        """Return the rows that a query finds, with the names of its columns."""
        compiled = self._for(connection.dialect)
        return connection.exec_driver_sql(compiled.text, compiled.row(values)).all()

    def _for(self, dialect: Dialect) -> _Compiled:
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            given = self._statement
            statement = given if isinstance(given, Executable) else given(_insert(dialect))
            compiled = self._compiled[dialect.name] = _compile(statement, dialect, self._columns)
        return compiled


def _insert(dialect: Dialect) -> Any:
    """Return the dialect's `insert`. Imported late: most servers never need that of PostgreSQL, which is large."""
    return import_module(f"sqlalchemy.dialects.{dialect.name}").insert


def _compile(statement: Any, dialect: Dialect, columns: Sequence[str] | None) -> _Compiled:
    compiled: SQLCompiler = statement.compile(dialect=dialect, column_keys=columns)
    converters = {
        name: convert
        for name, parameter in compiled.binds.items()
        if (convert := parameter.type.dialect_impl(dialect).bind_processor(dialect)) is not None
    }
    constants = {name: value for name, value in compiled.params.items() if value is not None}
    return _Compiled(str(compiled), compiled.positiontup or (), constants, converters)
