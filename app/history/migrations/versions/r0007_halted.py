"""Which answers only their user may continue."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Of answers that were stopped after their end before, nobody knows."""
    op.add_column("streams", sa.Column("halted", sa.Boolean))
