"""What Alembic runs: the migrations, on the connection and inside the transaction that it was given."""

from __future__ import annotations

from alembic import context

from app.history.statements.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # SQLite can do it as well: all of a migration, or nothing
)
context.run_migrations()
