"""`tailrace doctor --url` through the shipped nginx and Caddy: it has nothing to complain about."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest
from yarl import URL

from app.doctor.findings import Level
from app.doctor.outside import visit
from tests.deploy.proxies import PROXIES
from tests.support.server import serve

TOKEN = "plum-9f3c71d2a8e4b605"


@pytest.mark.parametrize("proxy", sorted(PROXIES))
async def test_the_shipped_proxies_are_found_right(proxy: str, tmp_path: Path) -> None:
    """All is well, HTTP/2 included."""
    for folder in ("data", "proxy"):
        (tmp_path / folder).mkdir()
    with ExitStack() as stack:
        async with serve(
            tmp_path / "data", access_token=TOKEN, trusted_proxies=("127.0.0.1",), heartbeat=0.5
        ) as server:
            upstream = int(server.url.rpartition(":")[2])
            running = PROXIES[proxy](tmp_path / "proxy", upstream)
            site = await asyncio.to_thread(stack.enter_context, running)
            checks = visit.check(
                URL(site.url + "/"),
                token=TOKEN,
                seconds=1.5,
                cafile=str(site.certificate),
                user_header="X-Forwarded-User",
            )
            findings = [finding async for finding in checks]
            await asyncio.to_thread(stack.close)
    assert [finding for finding in findings if finding.level is not Level.OK] == []
    assert any(finding.text == "HTTP/2" for finding in findings)
