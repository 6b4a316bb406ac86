"""Firefox, and its windows: it speaks WebDriver BiDi by itself."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from tests.browser.engines import actions
from tests.browser.engines.bidi import BiDi, connected
from tests.browser.engines.window import BrowserError, Window
from tests.support.processes import end
from tests.support.waiting import found

START_TIMEOUT = 60.0  # s; the first start makes a profile
STOP_TIMEOUT = 15.0  # s
SIZE = {"width": 1280, "height": 800}
# Said about a script that does not arrive. The test that provokes it looks at what the page does then.
EXPECTED = ("Loading failed for the module", "Loading module from")
# Nothing is asked of the network, nothing is shown at the start, and a page behaves the same in front and behind.
PREFERENCES = {
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.aboutwelcome.enabled": False,
    "browser.safebrowsing.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.systemAddon.update.enabled": False,
    "extensions.update.enabled": False,
    "fission.webContentIsolationStrategy": 0,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}


class FirefoxWindow(Window):
    """See `Window`."""

    def __init__(self, bidi: BiDi, profile: str, context: str) -> None:
        self._bidi = bidi
        self._profile = profile
        self._context = context

    async def open(self, url: str) -> None:
        """See `Window`."""
        await self._call("browsingContext.navigate", url=url, wait="complete")

    async def reload(self) -> None:
        """See `Window`."""
        await self._call("browsingContext.reload", wait="complete")

    async def back(self) -> None:
        """See `Window`."""
        await self._call("browsingContext.traverseHistory", delta=-1)

    async def run(self, script: str) -> Any:
        """See `Window`."""
        answer = await self._bidi.call(
            "script.evaluate", expression=script, target={"context": self._context}, awaitPromise=True
        )
        if answer["type"] == "exception":
            raise BrowserError(answer["exceptionDetails"]["text"])
        return answer["result"]["value"]

    async def press(self, *keys: str) -> None:
        """See `Window`."""
        await self._perform(actions.chord(keys))

    async def write(self, text: str) -> None:
        """See `Window`."""
        await self._perform(actions.typing(text))

    async def point_at(self, x: float, y: float) -> None:
        """See `Window`."""
        await self._perform(actions.move(x, y))

    async def click_at(self, x: float, y: float) -> None:
        """See `Window`."""
        await self._perform(actions.click(x, y))

    async def tab(self) -> Window:
        """See `Window`."""
        return await _opened(self._bidi, self._profile)

    async def screenshot(self) -> bytes:
        """See `Window`."""
        return base64.b64decode((await self._call("browsingContext.captureScreenshot"))["data"])

    async def close(self) -> None:
        """See `Window`."""
        await self._call("browsingContext.close")

    async def _perform(self, doing: list[dict[str, Any]]) -> None:
        await self._call("input.performActions", actions=doing)

    async def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return await self._bidi.call(method, context=self._context, **parameters)


async def _opened(bidi: BiDi, profile: str) -> Window:
    context = (await bidi.call("browsingContext.create", type="tab", userContext=profile))["context"]
    await bidi.call("browsingContext.setViewport", context=context, viewport=SIZE)
    await bidi.call("browsingContext.activate", context=context)
    return FirefoxWindow(bidi, profile, context)


@contextmanager
def running_firefox(executable: str, folder: Path) -> Iterator[str]:
    """Run Firefox with its profile in `folder`; yields where it speaks BiDi."""
    lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items())
    (folder / "user.js").write_text("\n".join(lines))
    command = [executable, "--headless", "--no-remote", "--profile", str(folder), "--remote-debugging-port=0"]
    # As root it wants a home that is root's own.
    environment = {**os.environ, "HOME": str(folder), "MOZ_CRASHREPORTER_DISABLE": "1"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield f"ws://127.0.0.1:{_port(process, folder / 'WebDriverBiDiServer.json')}/session"
        finally:
            end(process, STOP_TIMEOUT)


def _port(process: subprocess.Popen[bytes], file: Path) -> int:
    """Return the port, which Firefox writes to a file once it listens."""

    def port() -> int | None:
        if process.poll() is not None:
            raise RuntimeError(f"Firefox did not start (exit code {process.returncode})")
        try:
            return int(json.loads(file.read_text())["ws_port"])
        except (FileNotFoundError, ValueError):  # not there yet, or not whole yet
            return None

    return found(port, within=START_TIMEOUT, what="Firefox does not listen")


@asynccontextmanager
async def firefox_window(url: str) -> AsyncIterator[Window]:
    """A window with a profile of its own; errors that the browser reported meanwhile fail the block."""
    async with connected(url) as bidi:
        await bidi.call("session.subscribe", events=["log.entryAdded"])
        profile = (await bidi.call("browser.createUserContext"))["userContext"]
        try:
            yield await _opened(bidi, profile)
        finally:
            await bidi.call("browser.removeUserContext", userContext=profile)
        entries = [event["params"] for event in bidi.events if event.get("method") == "log.entryAdded"]
    errors = [entry["text"] for entry in entries if entry["level"] == "error"]
    unexpected = [error for error in errors if not error.startswith(EXPECTED)]
    assert not unexpected, unexpected
