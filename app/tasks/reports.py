"""Errors that must not reach the caller: they go where asyncio sends those of a failing callback."""

from __future__ import annotations

import asyncio


def report(message: str, error: Exception) -> None:
    """Pass `error` to the exception handler of the running loop, which logs it with its traceback."""
    asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})
