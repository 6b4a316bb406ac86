"""What each owner has stored."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.history.statements.octet_length import octet_length
from app.history.statements.usage import add_triggers

revision = "0005"
down_revision = "0004"

BATCH = 100  # sessions in one statement, so that none exceeds PostgreSQL's time limit for statements
MESSAGE_BYTES = 512  # beyond its text

name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
sessions = sa.table("sessions", *map(sa.column, ("session_id", "owner", "options", "bytes")))
messages = sa.table("messages", *map(sa.column, ("session_id", "content", "reasoning")))
images = sa.table("images", *map(sa.column, ("session_id", "size")))
usage = sa.table("usage", *map(sa.column, ("owner", "sessions", "bytes")))


def upgrade() -> None:
    """Count what is there; from then on triggers count."""
    op.add_column("sessions", sa.Column("bytes", sa.BigInteger, nullable=False, server_default="0"))
    op.create_table(
        "usage",
        sa.Column("owner", name, primary_key=True),
        sa.Column("sessions", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
    )
    connection = op.get_bind()
    ids = list(connection.execute(sa.select(sessions.c.session_id)).scalars())
    for first in range(0, len(ids), BATCH):
        chosen = sessions.c.session_id.in_(ids[first : first + BATCH])
        connection.execute(sa.update(sessions).where(chosen).values(bytes=_counted()))
    size = sessions.c.bytes + sa.func.coalesce(octet_length(sessions.c.options), 0)
    sums = sa.select(sessions.c.owner, sa.func.count(), sa.func.sum(size)).group_by(sessions.c.owner)
    connection.execute(sa.insert(usage).from_select(["owner", "sessions", "bytes"], sums))
    add_triggers(connection)


def _counted() -> sa.ColumnElement[int]:
    text = octet_length(messages.c.content) + octet_length(messages.c.reasoning) + MESSAGE_BYTES
    texts = sa.select(sa.func.coalesce(sa.func.sum(text), 0)).where(
        messages.c.session_id == sessions.c.session_id
    )
    pictures = sa.select(sa.func.coalesce(sa.func.sum(images.c.size), 0)).where(
        images.c.session_id == sessions.c.session_id
    )
    return texts.scalar_subquery() + pictures.scalar_subquery()
