"""Access tokens and the browsers that are signed in with them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Sign-ins have no foreign key: those with TAILRACE_ACCESS_TOKEN belong to no row of `tokens`."""
    op.create_table(
        "tokens",
        sa.Column("token_id", name, primary_key=True),
        sa.Column("name", name, nullable=False),
        sa.Column("secret_hash", sa.Text, nullable=False),
        sa.Column("is_admin", sa.Boolean, nullable=False),
        sa.Column("created_at", name, nullable=False),
        sa.Column("expires_at", name),
        sa.Column("used_at", name),
        sa.UniqueConstraint("name", name="uq_tokens_name"),
    )
    op.create_table(
        "sign_ins",
        sa.Column("sign_in_id", name, primary_key=True),
        sa.Column("token_id", name, nullable=False),
        sa.Column("created_at", name, nullable=False),
    )
    op.create_index("ix_sign_ins_token", "sign_ins", ["token_id", "created_at"])
