"""The statements of the secrets that the nodes of a cluster share."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from app.history.statements.prepared import Prepared
from app.history.statements.tables import shared_secrets


def kept_secret(connection: Connection, name: str, made: bytes) -> bytes:
    """Return the stored secret of this name; store `made` if there is none. The first of several nodes wins."""
    _KEEP.run(connection, [{"name": name, "value": made}])
    found = connection.scalar(select(shared_secrets.c.value).where(shared_secrets.c.name == name))
    return bytes(found) if found is not None else made


def _keep(insert: Any) -> Any:
    return insert(shared_secrets).on_conflict_do_nothing()


_KEEP = Prepared(_keep, ("name", "value"))
