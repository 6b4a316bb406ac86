"""Branches, continued answers, options of sessions, images of prompts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Several streams may write one answer from now on. SQLite changes a table by copying it: hence the batch."""
    with op.batch_alter_table("streams") as streams:
        streams.drop_constraint("uq_streams_message", type_="unique")
        streams.add_column(sa.Column("continues", name))
        streams.add_column(sa.Column("created_at", name))
    op.create_index("ix_streams_message", "streams", ["message_id"])
    op.add_column("sessions", sa.Column("options", sa.Text))
    op.create_table(
        "images",
        sa.Column("image_id", name, primary_key=True),
        sa.Column(
            "session_id", name, sa.ForeignKey("sessions.session_id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("message_id", name, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("media_type", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_images_session", "images", ["session_id", "message_id", "number"])
