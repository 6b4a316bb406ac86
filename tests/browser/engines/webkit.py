"""WebKitGTK's MiniBrowser, and its windows, by WebKit's own WebDriver."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.browser.engines import actions
from tests.browser.engines.window import BOUND, BrowserError, Window
from tests.support.ports import free_port
from tests.support.processes import end
from tests.support.waiting import until_told

STOP_TIMEOUT = 10.0  # s
WIDTH, HEIGHT = 1280, 838  # of the window: its bar takes 38


class WebKit:
    """A session of WebDriver in its classic form: it is a browser, with a profile in memory."""

    def __init__(self, http: aiohttp.ClientSession, session: str) -> None:
        self._http = http
        self._session = session
        self._front = ""  # the window that commands are for

    async def call(self, method: str, path: str, **parameters: Any) -> Any:
        """Return the value of the answer to a command. Raises `BrowserError`."""
        return await _command(self._http, method, f"/session/{self._session}{path}", parameters)

    async def call_in(self, window: str, method: str, path: str, **parameters: Any) -> Any:
        """The same for one window, which is in front from then on."""
        if window != self._front:
            await self.call("POST", "/window", handle=window)
            self._front = window
        return await self.call(method, path, **parameters)


class WebKitWindow(Window):
    """See `Window`."""

    def __init__(self, webkit: WebKit, handle: str) -> None:
        self._webkit = webkit
        self._handle = handle

    async def open(self, url: str) -> None:
        """See `Window`."""
        await self._call("POST", "/url", url=url)

    async def reload(self) -> None:
        """See `Window`."""
        await self._call("POST", "/refresh")

    async def back(self) -> None:
        """See `Window`."""
        await self._call("POST", "/back")

    async def run(self, script: str) -> Any:
        """See `Window`."""
        return await self._call("POST", "/execute/sync", script=f"return {script}", args=[])

    async def press(self, *keys: str) -> None:
        """See `Window`."""
        await self._call("POST", "/actions", actions=actions.chord(keys))

    async def write(self, text: str) -> None:
        """See `Window`."""
        await self._call("POST", "/actions", actions=actions.typing(text))

    async def point_at(self, x: float, y: float) -> None:
        """See `Window`."""
        await self._call("POST", "/actions", actions=actions.move(x, y))

    async def click_at(self, x: float, y: float) -> None:
        """See `Window`."""
        await self._call("POST", "/actions", actions=actions.click(x, y))

    async def tab(self) -> Window:
        """See `Window`."""
        opened = await self._call("POST", "/window/new", type="window")
        return WebKitWindow(self._webkit, opened["handle"])

    async def screenshot(self) -> bytes:
        """See `Window`."""
        return base64.b64decode(await self._call("GET", "/screenshot"))

    async def close(self) -> None:
        """See `Window`."""
        await self._call("DELETE", "/window")

    async def _call(self, method: str, path: str, **parameters: Any) -> Any:
        return await self._webkit.call_in(self._handle, method, path, **parameters)


async def _command(http: aiohttp.ClientSession, method: str, path: str, parameters: dict[str, Any]) -> Any:
    body = parameters if method == "POST" else None
    async with http.request(method, path, json=body) as response:
        value = (await response.json())["value"]
    if response.status != 200:
        raise BrowserError(f"{path}: {value['error']}: {value['message']}")
    return value


@contextmanager
def running_webkit_driver(executable: str, screen: str, folder: Path) -> Iterator[str]:
    """Run WebKit's driver, which starts a browser for each session; yields its address."""
    port = free_port()
    environment = {
        **os.environ,
        "DISPLAY": screen,
        "GDK_BACKEND": "x11",
        "HOME": str(folder),
        "LIBGL_ALWAYS_SOFTWARE": "1",
        "NO_AT_BRIDGE": "1",  # no accessibility bus
        "XDG_RUNTIME_DIR": str(folder),
    }
    with subprocess.Popen(
        [executable, f"--port={port}"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            end(process, STOP_TIMEOUT)


@asynccontextmanager
async def webkit_window(address: str, browser: str, *, waits: bool = True) -> AsyncIterator[Window]:
    """A window of a browser of its own. Without `waits`, a page that has not loaded yet can be looked at."""
    wanted = {
        "webkitgtk:browserOptions": {"binary": browser, "args": ["--automation"]},
        "pageLoadStrategy": "normal" if waits else "none",
    }
    timeout = aiohttp.ClientTimeout(total=BOUND)
    async with aiohttp.ClientSession(address, timeout=timeout) as http:
        await _listening(http)
        begun = await _command(http, "POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        webkit = WebKit(http, begun["sessionId"])
        try:
            await webkit.call("POST", "/window/rect", width=WIDTH, height=HEIGHT)
            yield WebKitWindow(webkit, await webkit.call("GET", "/window"))
        finally:
            await webkit.call("DELETE", "")


async def _listening(http: aiohttp.ClientSession) -> None:
    """Return once the driver answers. Raises `TimeoutError`."""

    async def listens() -> bool:
        try:
            await _command(http, "GET", "/status", {})
        except aiohttp.ClientConnectionError:
            return False
        return True

    await until_told(listens, within=BOUND)
