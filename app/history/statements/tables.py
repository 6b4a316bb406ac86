"""The tables of the history, the same in SQLite and PostgreSQL. `migrations/` creates them."""

from __future__ import annotations

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

from app.chat.ports import Options
from app.chat.storable import storable


class StorableText(TypeDecorator[str]):
    """Text from users or models, made `storable`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - a hook
        """See `TypeDecorator`."""
        return None if value is None else storable(value)


def options_json(options: Options) -> str | None:
    """Return the options of a session as stored: JSON, NULL if there are none."""
    return msgspec.json.encode(options).decode() if options != Options() else None


# Names and times sort bytewise, whatever the locale of the PostgreSQL database.
Name = Text().with_variant(Text(collation="C"), "postgresql")
Time = Name  # RFC 3339, UTC
Place = BigInteger().with_variant(Integer, "sqlite")  # SQLite auto-increments only an `INTEGER PRIMARY KEY`

# The owner of a session that is not complete, or that is being deleted: nobody. A start deletes what is left of them.
HIDDEN = "\x1fhidden"
# The owner of a session that was deleted and can be restored: nobody. See `deleted`.
DELETED = "\x1fdeleted"

metadata = MetaData()

sessions = Table(
    "sessions",
    metadata,
    Column("session_id", Name, primary_key=True),
    Column("owner", Name, nullable=False),
    Column("title", StorableText, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    Column("options", StorableText),  # JSON; NULL if none were set
    Column("bytes", BigInteger, nullable=False, server_default="0"),  # of its messages; triggers count them
    Index("ix_sessions_newest", "owner", "updated_at", "session_id"),
)

streams = Table(
    "streams",
    metadata,
    Column("stream_id", Name, primary_key=True),
    Column("session_id", Name, ForeignKey("sessions.session_id", ondelete="CASCADE"), nullable=False),
    Column(
        "message_id", Name, nullable=False
    ),  # of the answer; an earlier stream may have written part of it
    Column("continues", Name),  # the earlier stream whose answer this one continues
    Column("created_at", Time),  # time of registration; NULL in rows older than this column
    Column("node", BigInteger, nullable=False),  # the server that runs it; see `Database.node`
    Column("model", StorableText, nullable=False),
    Column("status", Text, nullable=False),
    Column("outcome", Text),  # NULL while it runs
    Column("finish_reason", StorableText),
    Column("tokens", BigInteger, nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    Column("ttft_ms", BigInteger),
    Column("reasoning_tokens", BigInteger, nullable=False, server_default="0"),
    Column("thought_ms", BigInteger),
    Column("upstream_closed", Boolean, nullable=False),
    Column("prompt_tokens", BigInteger),  # as counted by the model server
    Column("completion_tokens", BigInteger),
    Column("error_code", StorableText),
    Column("error_message", StorableText),
    Column("request", StorableText),  # the options that were asked for, JSON; while it may go on
    Column("halted", Boolean),  # whether only its user may continue it; NULL: no
    Index("ix_streams_session", "session_id"),
    Index("ix_streams_message", "message_id"),
)
# A partial index: a start finds the running streams without a scan of all streams.
IS_RUNNING = streams.c.outcome.is_(None)
RUNNING = Index("ix_streams_running", streams.c.node, sqlite_where=IS_RUNNING)

messages = Table(
    "messages",
    metadata,
    Column("place", Place, primary_key=True),  # increases with every message, independent of the clock
    Column("message_id", Name, nullable=False),
    Column("session_id", Name, ForeignKey("sessions.session_id", ondelete="CASCADE"), nullable=False),
    Column("parent_id", Name),  # the message before it; messages with the same parent are branches
    Column("stream_id", Name),
    Column("role", Text, nullable=False),
    Column("content", StorableText, nullable=False),
    Column("reasoning", StorableText, nullable=False),
    Column("created_at", Time, nullable=False),
    UniqueConstraint("message_id", name="uq_messages_message"),
    Index("ix_messages_session", "session_id", "place"),
    Index("ix_messages_stream", "stream_id"),
    sqlite_autoincrement=True,
)

images = Table(
    "images",
    metadata,
    Column("image_id", Name, primary_key=True),
    Column("session_id", Name, ForeignKey("sessions.session_id", ondelete="CASCADE"), nullable=False),
    Column("message_id", Name, nullable=False),  # of the prompt
    Column("number", Integer, nullable=False),  # position among the images of the prompt
    Column("media_type", Text, nullable=False),
    Column("size", BigInteger, nullable=False),  # bytes
    Column("data", LargeBinary, nullable=False),
    Index("ix_images_session", "session_id", "message_id", "number"),
)

# The text of a growing answer: one row per write with the new tokens. The whole answer replaces them at the end.
pieces = Table(
    "pieces",
    metadata,
    Column("message_id", Name, primary_key=True),
    Column("kind", Text, primary_key=True),  # "token" or "reasoning"
    Column(
        "start", BigInteger, primary_key=True, autoincrement=False
    ),  # index of its first token, counted per kind
    Column("tokens", BigInteger, nullable=False),
    Column("text", StorableText, nullable=False),
    Column("elapsed_ms", BigInteger, nullable=False),  # since the prompt was admitted
    sqlite_with_rowid=False,
)

keys = Table(
    "keys",
    metadata,
    Column("session_id", Name, ForeignKey("sessions.session_id", ondelete="CASCADE"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("stream_id", Name, nullable=False),
    Column("request_hash", Text, nullable=False),
    Index("ix_keys_stream", "stream_id"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("token_id", Name, primary_key=True),
    Column("name", Name, nullable=False),  # the owner that it lets in
    Column("secret_hash", Text, nullable=False),
    Column("is_admin", Boolean, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("expires_at", Time),  # NULL: never
    Column("used_at", Time),  # NULL: not yet
    UniqueConstraint("name", name="uq_tokens_name"),
)

# The browsers that are signed in. No foreign key: those with TAILRACE_ACCESS_TOKEN belong to no row of `tokens`.
sign_ins = Table(
    "sign_ins",
    metadata,
    Column("sign_in_id", Name, primary_key=True),
    Column("token_id", Name, nullable=False),
    Column("created_at", Time, nullable=False),
    Index("ix_sign_ins_token", "token_id", "created_at"),
)

# The sessions that can be restored. A prompt may have used the id of one meanwhile: then its rows have a new id.
deleted = Table(
    "deleted",
    metadata,
    Column("session_id", Name, ForeignKey("sessions.session_id", ondelete="CASCADE"), primary_key=True),
    Column("owner", Name, nullable=False),  # before the deletion
    Column("was", Name, nullable=False),  # the id before the deletion
    Column("deleted_at", Double, nullable=False),  # seconds since the epoch, by the clock of the database
)

# What each owner has stored: the sums over the owner's sessions. Triggers keep them, see `usage.py`.
usage = Table(
    "usage",
    metadata,
    Column("owner", Name, primary_key=True),
    Column("sessions", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)

# The nodes of a cluster, and which of them owns a session. Without a cluster both tables are empty.
nodes = Table(
    "nodes",
    metadata,
    Column("node_id", Name, primary_key=True),
    Column("url", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),  # by PostgreSQL's clock
)

# No foreign keys: a session is owned before its first prompt creates it, and a lease names its last owner.
leases = Table(
    "leases",
    metadata,
    Column("session_id", Name, primary_key=True),
    Column("node_id", Name),  # NULL: released. The row stays, so that epochs go on rising
    Column("epoch", BigInteger, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Index("ix_leases_node", "node_id"),
)

# What all nodes of a cluster sign with, and what tells it from other clusters.
shared_secrets = Table(
    "secrets",
    metadata,
    Column("name", Name, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
