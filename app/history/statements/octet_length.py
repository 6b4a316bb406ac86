"""The size of a text in bytes, asked of the database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Integer
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction


class octet_length(GenericFunction[int]):  # noqa: N801 - named as in SQL
    """`octet_length(text)`, as the SQL standard has it: bytes, where `length` counts characters."""

    type = Integer()
    inherit_cache = True


@compiles(octet_length, "sqlite")
def _for_sqlite(function: octet_length, compiler: Any, **options: Any) -> str:
    """SQLite has a function of that name from 3.43 on only."""
    return f"length(CAST({compiler.process(function.clauses, **options)} AS BLOB))"
