"""How much and how long a model thought."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Of streams that were kept before, nobody knows."""
    op.add_column("streams", sa.Column("reasoning_tokens", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("streams", sa.Column("thought_ms", sa.BigInteger))
