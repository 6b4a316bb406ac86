"""The stores of access tokens and sign-ins: in the database of the history, or in memory beside that."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec

from app.chat.tokens import KnownTokens, SignIn, Token
from app.history.database import Database
from app.history.statements import tokens as statements


class SqlTokens:
    """`TokenStore` in a database. Other processes may use it at the same time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __repr__(self) -> str:
        return f"<SqlTokens {self._database!r}>"

    async def known(self) -> KnownTokens:
        """See `TokenStore`."""
        return await self._database.read(statements.read_tokens)

    async def put(self, token: Token) -> bool:
        """See `TokenStore`."""
        return await self._database.write(lambda connection: statements.put_token(connection, token))

    async def revoke(self, name: str) -> bool:
        """See `TokenStore`."""
        return await self._database.write(lambda connection: statements.revoke_token(connection, name))

    async def used(self, token_id: str, at: datetime) -> None:
        """See `TokenStore`."""
        await self._database.write(lambda connection: statements.mark_used(connection, token_id, at))

    async def sign_in(self, sign_in: SignIn, *, since: datetime, most: int) -> None:
        """See `TokenStore`."""
        await self._database.write(
            lambda connection: statements.add_sign_in(connection, sign_in, since, most)
        )

    async def sign_out(self, sign_in_id: str) -> None:
        """See `TokenStore`."""
        await self._database.write(lambda connection: statements.drop_sign_in(connection, sign_in_id))


class MemoryTokens:
    """`TokenStore` in memory: lost when the process ends."""

    def __init__(self) -> None:
        self._tokens: dict[str, Token] = {}  # by name
        self._sign_ins: dict[str, SignIn] = {}  # oldest first

    def __repr__(self) -> str:
        return f"<MemoryTokens {list(self._tokens)}>"

    async def known(self) -> KnownTokens:
        """See `TokenStore`."""
        return KnownTokens(
            [self._tokens[name] for name in sorted(self._tokens)], list(self._sign_ins.values())
        )

    async def put(self, token: Token) -> bool:
        """See `TokenStore`."""
        replaced = await self.revoke(token.name)
        self._tokens[token.name] = token
        return replaced

    async def revoke(self, name: str) -> bool:
        """See `TokenStore`."""
        token = self._tokens.pop(name, None)
        if token is not None:
            self._keep(lambda each: each.token_id != token.token_id)
        return token is not None

    async def used(self, token_id: str, at: datetime) -> None:
        """See `TokenStore`."""
        for name, token in self._tokens.items():
            if token.token_id == token_id:
                self._tokens[name] = msgspec.structs.replace(token, used_at=at)

    async def sign_in(self, sign_in: SignIn, *, since: datetime, most: int) -> None:
        """See `TokenStore`."""
        self._sign_ins[sign_in.sign_in_id] = sign_in
        of_token = [each for each in self._sign_ins.values() if each.token_id == sign_in.token_id]
        surplus = set(of_token[:-most])
        self._keep(lambda each: each.created_at >= since and each not in surplus)

    async def sign_out(self, sign_in_id: str) -> None:
        """See `TokenStore`."""
        self._sign_ins.pop(sign_in_id, None)

    def _keep(self, wanted: Callable[[SignIn], bool]) -> None:
        self._sign_ins = {name: each for name, each in self._sign_ins.items() if wanted(each)}
