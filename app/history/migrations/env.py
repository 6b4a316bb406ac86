"""Alembic's environment: runs the migrations on the caller's connection, in the caller's transaction."""

from __future__ import annotations

from alembic import context

from app.history.statements.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # SQLite supports it too, so a migration is all or nothing
)
context.run_migrations()
