"""The nodes of a cluster, and the leases that say which of them owns a session."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add empty tables, and what another node needs to know of a prompt that waits."""
    op.add_column("streams", sa.Column("request", sa.Text))
    op.create_table(
        "nodes",
        sa.Column("node_id", name, primary_key=True),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "leases",
        sa.Column("session_id", name, primary_key=True),
        sa.Column("node_id", name),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_leases_node", "leases", ["node_id"])
    op.create_table(
        "secrets",
        sa.Column("name", name, primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )
