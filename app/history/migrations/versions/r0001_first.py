"""The first tables: sessions, streams, messages, pieces of growing answers, idempotency keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None

name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _session_id(*, primary_key: bool = False) -> sa.Column[str]:
    parent = sa.ForeignKey("sessions.session_id", ondelete="CASCADE")
    return sa.Column("session_id", name, parent, primary_key=primary_key, nullable=False)


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "sessions",
        sa.Column("session_id", name, primary_key=True),
        sa.Column("owner", name, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("created_at", name, nullable=False),
        sa.Column("updated_at", name, nullable=False),
    )
    op.create_index("ix_sessions_newest", "sessions", ["owner", "updated_at", "session_id"])
    op.create_table(
        "streams",
        sa.Column("stream_id", name, primary_key=True),
        _session_id(),
        sa.Column("message_id", name, nullable=False),
        sa.Column("node", sa.BigInteger, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text),
        sa.Column("finish_reason", sa.Text),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("duration_ms", sa.BigInteger, nullable=False),
        sa.Column("ttft_ms", sa.BigInteger),
        sa.Column("upstream_closed", sa.Boolean, nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger),
        sa.Column("completion_tokens", sa.BigInteger),
        sa.Column("error_code", sa.Text),
        sa.Column("error_message", sa.Text),
        sa.UniqueConstraint("message_id", name="uq_streams_message"),
    )
    op.create_index("ix_streams_session", "streams", ["session_id"])
    running = sa.text("outcome IS NULL")
    op.create_index("ix_streams_running", "streams", ["node"], sqlite_where=running, postgresql_where=running)
    op.create_table(
        "messages",
        sa.Column("place", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("message_id", name, nullable=False),
        _session_id(),
        sa.Column("parent_id", name),
        sa.Column("stream_id", name),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("reasoning", sa.Text, nullable=False),
        sa.Column("created_at", name, nullable=False),
        sa.UniqueConstraint("message_id", name="uq_messages_message"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_messages_session", "messages", ["session_id", "place"])
    op.create_index("ix_messages_stream", "messages", ["stream_id"])
    op.create_table(
        "pieces",
        sa.Column("message_id", name, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("elapsed_ms", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "keys",
        _session_id(primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("stream_id", name, nullable=False),
        sa.Column("request_hash", sa.Text, nullable=False),
    )
    op.create_index("ix_keys_stream", "keys", ["stream_id"])
