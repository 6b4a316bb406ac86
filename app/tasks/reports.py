"""Reports errors that must not reach the caller, in the same way as asyncio reports those of its callbacks."""

from __future__ import annotations

import asyncio


def report(message: str, error: Exception) -> None:
    """Pass `error` to the exception handler of the running loop, which logs it with its traceback."""
    asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})
