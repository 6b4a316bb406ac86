"""The SQL function `octet_length`: the size of a text in bytes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Integer
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction


class octet_length(GenericFunction[int]):  # noqa: N801 - named as in SQL
    """`octet_length(text)` of the SQL standard: counts bytes, where `length` counts characters."""

    type = Integer()
    inherit_cache = True


@compiles(octet_length, "sqlite")
def _for_sqlite(function: octet_length, compiler: Any, **options: Any) -> str:
    """SQLite has `octet_length` only since 3.43."""
    return f"length(CAST({compiler.process(function.clauses, **options)} AS BLOB))"
