"""Which sessions were deleted and can be restored still."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.history.statements.usage import replace_triggers

revision = "0008"
down_revision = "0007"

name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add an empty table: until now nothing was left of a deleted session. Triggers leave out what it names."""
    op.create_table(
        "deleted",
        sa.Column(
            "session_id", name, sa.ForeignKey("sessions.session_id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("owner", name, nullable=False),
        sa.Column("was", name, nullable=False),
        sa.Column("deleted_at", sa.Double, nullable=False),
    )
    replace_triggers(op.get_bind())
