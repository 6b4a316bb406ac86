"""How a node sets its logs up."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from app.config.settings import Settings
from app.log.shared.shared_logs import SharedLogs
from app.nodes.estate import Shared


@pytest.mark.parametrize("ttl", [1.0, 6.0, 60.0, 600.0])
async def test_the_logs_wait_for_longer_than_the_node_can_take_itself_for_the_owner(ttl: float) -> None:
    """Else a node that is cut off from all engines shows an answer, and the next owner another one."""
    found: dict[str, Any] = {}

    def logs(url: str, /, **kwargs: Any) -> SharedLogs:
        found.update(kwargs)
        return SharedLogs(url, **kwargs)

    shared = Shared(
        Settings(redis_url="redis://nowhere/0", node_ttl=ttl),
        structlog.get_logger(),
        "a",
        logs=logs,
    )
    assert found["patience"] == max(10.0, ttl + 4.0)
    assert found["lease"] is shared
