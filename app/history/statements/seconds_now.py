"""The SQL function `seconds_now`: the time by the database's clock, which all servers that use it share."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Double
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction


class seconds_now(GenericFunction[float]):  # noqa: N801 - named as in SQL
    """Seconds since the epoch, with milliseconds; in PostgreSQL not the time at which the transaction began."""

    type = Double()
    inherit_cache = True


@compiles(seconds_now, "sqlite")
def _for_sqlite(_: seconds_now, __: Any, **___: Any) -> str:
    """SQLite has `unixepoch('subsec')` only since 3.42. The day that is subtracted is 1970-01-01."""
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(seconds_now, "postgresql")
def _for_postgresql(_: seconds_now, __: Any, **___: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)"
