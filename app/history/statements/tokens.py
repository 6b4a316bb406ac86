"""The statements of access tokens and sign-ins."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from sqlalchemy import Connection, delete, select, update

from app.chat.tokens import KnownTokens, SignIn, Token
from app.history.statements.tables import sign_ins, tokens


def read_tokens(connection: Connection) -> KnownTokens:
    """Return all tokens, by name, and all sign-ins."""
    kept = connection.execute(select(tokens).order_by(tokens.c.name)).mappings()
    signed_in = connection.execute(select(sign_ins.c.sign_in_id, sign_ins.c.token_id, sign_ins.c.created_at))
    return KnownTokens(
        [
            Token(**{**row, **{name: _time(row[name]) for name in ("created_at", "expires_at", "used_at")}})
            for row in kept
        ],
        [SignIn(sign_in_id, token_id, datetime.fromisoformat(at)) for sign_in_id, token_id, at in signed_in],
    )


def put_token(connection: Connection, token: Token) -> bool:
    """Store a token in place of the one with its name; return whether there was one."""
    replaced = revoke_token(connection, token.name)
    row = msgspec.structs.asdict(token)
    times = {name: _text(row[name]) for name in ("created_at", "expires_at", "used_at")}
    connection.execute(tokens.insert(), {**row, **times})
    return replaced


def revoke_token(connection: Connection, name: str) -> bool:
    """Delete a token and its sign-ins; return whether there was one."""
    of_name = select(tokens.c.token_id).where(tokens.c.name == name)
    connection.execute(delete(sign_ins).where(sign_ins.c.token_id.in_(of_name)))
    return bool(connection.execute(delete(tokens).where(tokens.c.name == name)).rowcount)


def mark_used(connection: Connection, token_id: str, at: datetime) -> None:
    """Store the time of a token's last use."""
    connection.execute(update(tokens).where(tokens.c.token_id == token_id).values(used_at=_text(at)))


def add_sign_in(connection: Connection, sign_in: SignIn, since: datetime, most: int) -> None:
    """Store a sign-in; delete old ones, and those of the token beyond `most`."""
    connection.execute(sign_ins.insert(), {**sign_in._asdict(), "created_at": _text(sign_in.created_at)})
    connection.execute(delete(sign_ins).where(sign_ins.c.created_at < _text(since)))
    of_token = select(sign_ins.c.sign_in_id).where(sign_ins.c.token_id == sign_in.token_id)
    latest_first = of_token.order_by(sign_ins.c.created_at.desc(), sign_ins.c.sign_in_id)
    surplus = connection.scalars(latest_first.offset(most)).all()
    if surplus:
        connection.execute(delete(sign_ins).where(sign_ins.c.sign_in_id.in_(surplus)))


def drop_sign_in(connection: Connection, sign_in_id: str) -> None:
    """Delete a sign-in."""
    connection.execute(delete(sign_ins).where(sign_ins.c.sign_in_id == sign_in_id))


def _text(at: datetime | None) -> str | None:
    """Return a time as stored: RFC 3339 in UTC, so that texts sort like times."""
    return None if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds")


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
