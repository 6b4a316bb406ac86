"""A request on its way to another node."""

from __future__ import annotations

from typing import NamedTuple

from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from app.cluster.ports import Lease
from app.web.app_keys import BODY, KEY, OWNER, UNFINISHED
from app.web.http import forwarded
from app.web.nodes import headers
from app.web.nodes.signature import HEADER, Passed, Target, digest, sign


class Outgoing(NamedTuple):
    """A request that can be sent more than once."""

    method: str
    address: str  # path and query
    headers: CIMultiDict[str]
    body: bytes
    owner: str
    client: str
    unfinished: tuple[str, ...] = ()

    def signed(self, secret: bytes, lease: Lease, sender: str, at: float) -> CIMultiDict[str]:
        """Return the headers with the signature for the owner node of `lease`."""
        passed = Passed(
            owner=self.owner,
            session=lease.session,
            epoch=lease.epoch,
            sender=sender,
            receiver=lease.node.id,
            client=self.client,
            digest=digest(self.body),
            at=at,
            unfinished=self.unfinished,
        )
        headers = CIMultiDict(self.headers)
        key, content_type = headers.get("Idempotency-Key", ""), headers.get("Content-Type", "")
        headers[HEADER] = sign(secret, passed, Target(self.method, self.address, content_type, key))
        return headers


def outgoing(request: web.Request, address: URL) -> Outgoing:
    """Return a request for another node, which asks it for `address` on behalf of a client.

    A fragment is left out: it is not sent, so it must not be signed.
    """
    sent = headers.of_request(request)
    if KEY in request:
        sent["Idempotency-Key"] = request[KEY]
    return Outgoing(
        request.method,
        str(address.with_fragment(None)),
        sent,
        request.get(BODY, b""),
        request[OWNER],
        forwarded.client(request),
        request.get(UNFINISHED, ()),
    )
