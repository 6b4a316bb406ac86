"""Models by the thousand and with odd names: what a page offers, what the API finds, what a wrong name is answered."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.config.servers import ModelServer
from app.web.page.model_menu import MANY
from tests.doubles.openai import GatewayDouble, OpenAIDouble
from tests.support.server import LiveServer, serve
from tests.web.stage import problem

ODD = ["my own model", "org/team/model:7b", "modèle/ünï-語 🦙", 'quo"te<b>', "a&b=c?d#e", "100%"]


class Listless(OpenAIDouble):
    """A server without a list of models."""

    def add_routes(self, router: Any) -> None:
        router.add_post("/v1/chat/completions", self.generate)

    def begun(self, body: dict[str, Any]) -> int:
        return 0


@pytest.fixture
async def many(tmp_path: Path) -> AsyncIterator[LiveServer]:
    async with GatewayDouble() as double, serve(tmp_path, openai_url=double.url, scripted=False) as live:
        yield live


async def page(live: LiveServer, path: str = "/", **form: str) -> str:
    """Return a page; with a form, what it is answered with."""
    headers = {"Accept": "text/html"}
    method = "POST" if form else "GET"
    async with live.client.http.request(method, path, data=form or None, headers=headers) as response:
        return await response.text()


def options(html: str) -> list[str]:
    """Return the values that the select offers."""
    select = re.search(r'<select id="model".*?</select>', html, re.DOTALL)
    assert select is not None
    return re.findall(r'<option value="([^"]+)"', select[0])


async def test_a_page_offers_a_part_of_thousands(many: LiveServer) -> None:
    """It stays small, has the default, and a way to find the others."""
    html = await page(many)
    assert options(html) == [f"openai/vendor-{number}/model-{number}-instruct" for number in range(MANY)]
    assert len(html.encode()) < 60_000
    assert re.search(r'data-part="find"[^>]*>', html)
    assert not re.search(r'data-part="find"[^>]*hidden>', html)


async def test_without_scripts_a_search_chooses_among_all(many: LiveServer) -> None:
    """The form comes back with what was typed, the models that match, and the first of them chosen."""
    html = await page(many, "/sessions/s1/refresh", prompt="hello", find_model="VENDOR-7/ 2047")
    assert options(html) == ["openai/vendor-7/model-2047-instruct", "openai/vendor-0/model-0-instruct"][:1]
    assert 'value="openai/vendor-7/model-2047-instruct" selected' in html
    assert "1 model matches “VENDOR-7/ 2047”." in html
    assert ">\nhello</textarea>" in html
    html = await page(many, "/sessions/s1/refresh", prompt="hello", find_model="<nothing>")
    assert "No model matches “&lt;nothing&gt;”." in html
    assert options(html) == ["openai/vendor-0/model-0-instruct"]


async def test_the_api_finds_by_words(many: LiveServer) -> None:
    """`q` has words of the name, `limit` a bound; without them it is the whole list."""
    found = await many.client.get("/api/models?q=VENDOR-7/%20instruct&limit=3")
    assert [model["id"] for model in found["models"]] == [
        f"openai/vendor-7/model-{number}-instruct" for number in (7, 67, 127)
    ]
    assert found["total"] == 50
    exact = await many.client.get("/api/models?q=openai/vendor-10/model-10-instruct&limit=1")
    assert exact["models"][0]["name"] == "vendor-10/model-10-instruct"
    whole = await many.client.get("/api/models")
    assert (len(whole["models"]), whole["total"]) == (3000, 3000)
    async with many.client.http.get("/api/models?limit=0") as response:
        await problem(response, 422, "invalid_query")


async def test_a_wrong_name_is_answered_with_the_nearest(many: LiveServer) -> None:
    """Five names, in the problem and in its sentence; on the page as well, where the prompt stays."""
    wrong = "openai/vendor-7/model-7-instruckt"
    async with many.client.http.post(
        "/api/sessions/s1/streams", json={"prompt": "hello", "model": wrong}
    ) as response:
        body = await response.json()
    assert (response.status, body["code"], len(body["models"])) == (422, "unknown_model", 5)
    assert body["models"][0] == "openai/vendor-7/model-7-instruct"
    assert body["models"][0] in body["detail"]
    assert len(str(body)) < 2_000
    for language in ("en", "de"):
        many.client.http.cookie_jar.update_cookies({"tailrace_language": language})
        html = await page(many, "/api/sessions/s1/streams", prompt="hello", model=wrong)
        alert = re.search(r'<p class="complaint"[^>]*>(.*?)</p>', html, re.DOTALL)
        assert alert is not None
        assert "openai/vendor-7/model-7-instruct" in alert[1]
        assert ">\nhello</textarea>" in html


@pytest.mark.parametrize("name", ODD)
async def test_odd_names(tmp_path: Path, name: str) -> None:
    """Listed, offered, chosen, and as the default; the server gets the name as it wrote it."""
    async with OpenAIDouble() as double:
        double.models = ({"id": name, "owned_by": "tests"}, *OpenAIDouble.models)
        async with serve(tmp_path, openai_url=double.url, default_model=f"openai/{name}") as live:
            html = await page(live)
            chosen = re.search(r'<option value="([^"]+)"[^>]* selected>', html)
            assert chosen is not None
            await live.client.ask("s1", "hello")
            await live.client.ask("s1", "hello", model=f"openai/{name}")
            assert [body["model"] for body in double.requests] == [name, name]


@pytest.mark.slow
async def test_a_server_that_hangs_delays_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages, lists and prompts for others are answered while its own question is still open, again and again."""
    monkeypatch.setattr("app.backends.catalog.FRESH_FOR", -1.0)  # everything that is known is old
    silent = asyncio.Event()
    asked: list[asyncio.StreamReader] = []
    given_up: list[asyncio.StreamReader] = []

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(reader)
        await reader.readuntil(b"\r\n\r\n")
        if not await reader.read() and not silent.is_set():
            given_up.append(reader)
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with OpenAIDouble() as double:
        healthy = ModelServer(name="healthy", url=double.url)
        async with serve(tmp_path, openai_url=url, servers=(healthy,), scripted=False) as live:
            for count in range(3):
                assert "healthy/double" in options(await page(live))
                (away,) = (await live.client.get("/api/models"))["unreachable"]
                assert away["backend"] == "openai"
                events = await live.client.ask(f"s{count}", "hello", model="healthy/double")
                assert events[-1].data["outcome"] == "complete"
                events = await live.client.ask(f"t{count}", "hello")
                assert events[-1].data["outcome"] == "complete"
            assert (len(asked), given_up) == (1, [])
            silent.set()
    server.close()
    await server.wait_closed()


async def test_a_server_without_a_list_has_its_default_model(tmp_path: Path) -> None:
    """On the page as in the API; any other name is the server's to judge."""
    async with Listless() as double:
        async with serve(tmp_path, openai_url=double.url, default_model="openai/my own model") as live:
            listing = await live.client.get("/api/models")
            assert listing["models"][0]["id"] == "openai/my own model"
            assert listing["default"] == "openai/my own model"
            assert listing["unreachable"] == []
            html = await page(live)
            assert 'value="openai/my own model" selected' in html
            await page(live, "/api/sessions/s1/streams", prompt="hello", model="openai/my own model")
            await live.client.ask("s2", "hello", model="openai/another one")
            await double.ledger.until(lambda ledger: len(ledger.entries) == 2)
        async with serve(tmp_path / "none", openai_url=double.url) as live:
            (unreachable,) = (await live.client.get("/api/models"))["unreachable"]
            assert unreachable["backend"] == "openai"


async def test_the_server_that_a_prompt_goes_to_is_named(tmp_path: Path) -> None:
    """With scheme, host and port, in the menu, in the API and among the servers, but no password of its address."""
    async with GatewayDouble() as double:
        url = double.url.replace("http://", "http://me:pass-w0rd@")
        servers = (
            ModelServer(name="far", url=f"{url}/v1?key=abc"),
            ModelServer(name="away", url="http://127.0.0.1:9"),
        )
        async with serve(tmp_path, servers=servers) as live:
            listing = await live.client.get("/api/models?limit=1")
            assert listing["origins"] == {"far": double.url, "away": "http://127.0.0.1:9"}
            html = await page(live)
            labels = re.findall(r'<optgroup data-backend="([^"]+)" label="([^"]+)"', html)
            assert labels == [
                ("far", f"far ({double.url})"),
                ("scripted", "scripted"),
                ("away", "away (http://127.0.0.1:9)"),
            ]
            assert "http://127.0.0.1:9<" in await page(live, "/models")
            assert "pass-w0rd" not in html
