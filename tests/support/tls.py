"""Servers of this machine with TLS, whose certificate this process trusts."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from app.log.shared.redis import wire
from tests.deploy.proxies import certificate


def trusted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Return what a server needs; whoever makes a context from now on takes its certificate for that of 127.0.0.1."""
    made, key = certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(made))
    forget_contexts()
    return context


def forget_contexts() -> None:
    """Let the shared log make its context anew."""
    wire.client_context.cache_clear()
