"""The server that is attacked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.functional.processes import Process, serving
from tests.hostile.attacks import TOKEN


@pytest.fixture(scope="package")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A server that strangers have to sign in to. No attack makes it log a traceback or answer 500."""
    with serving(tmp_path_factory.mktemp("server"), ACCESS_TOKEN=TOKEN) as process:
        yield process
        assert "Traceback" not in process.log
        assert "request_failed" not in process.log
