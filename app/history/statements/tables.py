"""The tables of the history, alike in SQLite and PostgreSQL. `migrations/` brings a database to them."""

from __future__ import annotations

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
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


def storable(text: str) -> str:
    """Return the text with U+FFFD for what a database cannot hold: NUL (PostgreSQL refuses it), lone surrogates."""
    if not text.isascii():
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.replace("\0", "\ufffd")


class StorableText(TypeDecorator[str]):
    """Text that somebody or some model wrote, made `storable`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - a hook
        """See `TypeDecorator`."""
        return None if value is None else storable(value)


def options_json(options: Options) -> str:
    """Return the options of a session as they are kept."""
    return msgspec.json.encode(options).decode()


# Names and times sort by their bytes everywhere, whatever the locale of a PostgreSQL.
Name = Text().with_variant(Text(collation="C"), "postgresql")
Time = Name  # RFC 3339, UTC
Place = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up in an `INTEGER PRIMARY KEY` alone

metadata = MetaData()

sessions = Table(
    "sessions",
    metadata,
    Column("session_id", Name, primary_key=True),
    Column("owner", Name, nullable=False),
    Column("title", StorableText, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    Column("options", StorableText),  # as JSON; none where nothing was chosen
    Index("ix_sessions_newest", "owner", "updated_at", "session_id"),
)

streams = Table(
    "streams",
    metadata,
    Column("stream_id", Name, primary_key=True),
    Column("session_id", Name, ForeignKey("sessions.session_id", ondelete="CASCADE"), nullable=False),
    Column("message_id", Name, nullable=False),  # of the answer; another stream may have written it before
    Column("continues", Name),  # the stream before, where this one goes on with its answer
    Column("created_at", Time),  # when it was registered; not known of the oldest ones
    Column("node", BigInteger, nullable=False),  # the server that runs it; see `Database.node`
    Column("model", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("outcome", Text),  # none while it runs
    Column("finish_reason", Text),
    Column("tokens", BigInteger, nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    Column("ttft_ms", BigInteger),
    Column("reasoning_tokens", BigInteger, nullable=False, server_default="0"),
    Column("thought_ms", BigInteger),
    Column("upstream_closed", Boolean, nullable=False),
    Column("prompt_tokens", BigInteger),  # as the model server counted
    Column("completion_tokens", BigInteger),
    Column("error_code", Text),
    Column("error_message", StorableText),
    Index("ix_streams_session", "session_id"),
    Index("ix_streams_message", "message_id"),
)
# What a start has to end is found without a look at all that ever ran.
_RUNNING = streams.c.outcome.is_(None)
Index("ix_streams_running", streams.c.node, sqlite_where=_RUNNING, postgresql_where=_RUNNING)

messages = Table(
    "messages",
    metadata,
    Column("place", Place, primary_key=True),  # grows from message to message, whatever the clock does
    Column("message_id", Name, nullable=False),
    Column("session_id", Name, ForeignKey("sessions.session_id", ondelete="CASCADE"), nullable=False),
    Column("parent_id", Name),  # the message that it follows; two with one parent are branches
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
    Column("number", Integer, nullable=False),  # its place among those of that prompt
    Column("media_type", Text, nullable=False),
    Column("size", BigInteger, nullable=False),  # bytes
    Column("data", LargeBinary, nullable=False),
    Index("ix_images_session", "session_id", "message_id", "number"),
)

# An answer while it grows: what came since the last piece. At its end the pieces give way to the whole.
pieces = Table(
    "pieces",
    metadata,
    Column("message_id", Name, primary_key=True),
    Column("kind", Text, primary_key=True),  # "token" or "reasoning"
    Column(
        "start", BigInteger, primary_key=True, autoincrement=False
    ),  # index of its first token in its kind
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
