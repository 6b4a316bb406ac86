"""Sentinels: small servers beside Redis that watch the primary, and promote a replica when it is gone."""

from __future__ import annotations

import hiredis

from app.chat.errors import LogUnavailable
from app.log.shared.redis.address import Address
from app.log.shared.redis.asking import asked
from app.log.shared.redis.errors import Lost
from app.redis_url import Host, RedisUrl
from app.tasks.timeouts import within

ASK_SECONDS = 1.0  # for one sentinel: its connection and its answer


class Sentinels:
    """Asks one sentinel after the other for the primary. The one that knew it is asked first the next time."""

    def __init__(self, url: RedisUrl) -> None:
        self._url = url
        self._hosts = list(url.hosts)

    def __repr__(self) -> str:
        return f"<Sentinels {self}>"

    def __str__(self) -> str:
        return f"{self._url.primary} of {','.join(map(str, self._url.hosts))}"

    @property
    def database(self) -> int:
        """See `Whereabouts`."""
        return self._url.database

    async def server(self) -> Address:
        """See `Whereabouts`."""
        problems = []
        for host in tuple(self._hosts):
            try:
                found = await within(ASK_SECONDS, self._ask(host))
            except TimeoutError:
                problems.append(f"{host} does not answer within {ASK_SECONDS:g} s")
            except (OSError, Lost) as error:
                problems.append(f"{host} does not answer: {str(error) or type(error).__name__}")
            except LogUnavailable as error:
                problems.append(str(error))
            else:
                self._hosts.remove(host)
                self._hosts.insert(0, host)
                url = self._url
                return Address(found.name, found.port, url.tls, url.user, url.password, url.database)
        raise LogUnavailable(f"no sentinel names a primary: {'; '.join(problems)}")

    async def _ask(self, host: Host) -> Host:
        url = self._url
        address = Address(
            host.name, host.port, url.sentinel_tls, url.sentinel_user, url.sentinel_password, database=0
        )
        try:
            [found] = await asked(address, ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", url.primary))
        except hiredis.ReplyError as error:
            raise LogUnavailable(
                f"{host} refuses this node: {error}. Check that it is a sentinel, and sentinel_password"
            ) from error
        except Lost as error:
            if "NOAUTH" in str(error):
                raise LogUnavailable(f"{host} wants a password. Add ?sentinel_password=…") from error
            raise
        if found is None:
            raise LogUnavailable(
                f"{host} knows no primary named {url.primary!r}. Use the name of its `sentinel monitor`"
            )
        return Host(found[0].decode(), int(found[1]))
