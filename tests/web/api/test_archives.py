"""Export and import over the wire."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.web.limits import Limits
from app.wiring import parts as wired
from tests.support.client import Client
from tests.support.pictures import png
from tests.web.stage import Stage, on_stage, problem, until_event

IMPORT = "/api/sessions/import"


async def export(client: Client, session_id: str, query: str = "") -> tuple[str, aiohttp.ClientResponse]:
    """The text of an export, and the response that it came with."""
    async with client.http.get(f"/api/sessions/{session_id}/export{query}") as response:
        assert response.status == 200, await response.text()
        return await response.text(), response


async def branched(stage: Stage) -> str:
    """Make a session with two answers to one prompt, the second one stopped; return the first answer's id."""
    first = await stage.answer("s1", "Größe & Maß / 水", "One", " two")
    answer = str((await stage.client.get("/api/sessions/s1"))["messages"][1]["message_id"])
    again = await stage.client.http.post("/api/sessions/s1/streams", json={"regenerate": answer})
    stream_id = (await again.json())["stream_id"]
    (await stage.opened(2)).say("Another")
    async with stage.client.events(f"/api/streams/{stream_id}/events") as events:
        await until_event(events, "token")
    await stage.client.stop(stream_id)
    assert first != stream_id
    return answer


async def test_a_session_is_exported_as_a_file(stage: Stage) -> None:
    """All of it as JSON: the tree, how its streams ended, their figures; with a name that every system takes."""
    answer = await branched(stage)
    text, response = await export(stage.client, "s1")
    whole = json.loads(text)
    assert response.content_type == "application/json"
    assert response.headers["Content-Disposition"].startswith('attachment; filename="')
    assert 'filename="Groe-Ma.json"' in response.headers["Content-Disposition"]
    assert "filename*=UTF-8''Gr%C3%B6%C3%9Fe%20%26%20Ma%C3%9F%20" in response.headers["Content-Disposition"]
    assert response.headers["Cache-Control"] == "no-store"
    assert (whole["kind"], whole["version"], whole["session_id"]) == ("tailrace-session", 1, "s1")
    prompt, one, other = whole["messages"]
    assert [m["content"] for m in whole["messages"]] == ["Größe & Maß / 水", "One two", "Another"]
    assert one["message_id"] == answer
    assert one["parent_id"] == other["parent_id"] == prompt["message_id"]
    assert {s["stream_id"]: s["outcome"] for s in whole["streams"]} == {
        one["stream_id"]: "complete",
        other["stream_id"]: "stopped",
    }
    assert "keys" not in whole


async def test_a_branch_is_exported_as_markdown(stage: Stage) -> None:
    """The one that is shown, or the one that is asked for; what was broken off says so."""
    answer = await branched(stage)
    text, response = await export(stage.client, "s1", "?format=markdown")
    assert response.content_type == "text/markdown"
    assert 'filename="Groe-Ma.md"' in response.headers["Content-Disposition"]
    assert text.startswith(
        "# Größe & Maß / 水\n\n## You\n\nGröße & Maß / 水\n\n## Answer (puppet/puppet)\n\nAnother"
    )
    assert text.endswith("*Stopped*\n")
    text, _ = await export(stage.client, "s1", f"?format=markdown&branch={answer}")
    assert text.endswith("\n\nOne two\n")
    for query, status, code in (
        ("?format=pdf", 422, "invalid_query"),
        ("?format=markdown&branch=x", 404, "message_not_found"),
    ):
        async with stage.http.get(f"/api/sessions/s1/export{query}") as response:
            await problem(response, status, code)


async def test_answers_keep_to_their_place_in_an_export(stage: Stage) -> None:
    """Their headings are below the one of their message, and a listing that was left open ends with its answer."""
    await stage.answer("s1", "hello", "# One\n```sh\n# two")
    text, _ = await export(stage.client, "s1", "?format=markdown")
    assert text.endswith("## Answer (puppet/puppet)\n\n### One\n```sh\n# two\n```\n")


async def test_a_running_answer_is_exported_as_far_as_it_is(stage: Stage) -> None:
    """And imported it was interrupted."""
    registered = await stage.client.post("s1", "hello")
    (await stage.opened()).say("So far")
    async with stage.client.events(registered["events_url"]) as events:
        await until_event(events, "token")
    text, _ = await export(stage.client, "s1")
    whole = json.loads(text)
    assert (whole["messages"][1]["content"], whole["streams"][0]["outcome"]) == ("So far", None)
    shown, _ = await export(stage.client, "s1", "?format=markdown")
    assert "So far" in shown
    imported = await (await stage.http.post(IMPORT, json=whole)).json()
    messages = (await stage.client.get(f"/api/sessions/{imported['session_id']}"))["messages"]
    assert (messages[1]["content"], messages[1]["outcome"]) == ("So far", "interrupted")


async def test_an_exported_session_is_imported(stage: Stage) -> None:
    """Under new ids, beside the one that it was made from; it can be gone on with."""
    await branched(stage)
    text, _ = await export(stage.client, "s1")
    async with stage.http.post(IMPORT, data=text, headers={"Content-Type": "application/json"}) as response:
        assert response.status == 201
        imported = await response.json()
        assert response.headers["Location"] == f"/api/sessions/{imported['session_id']}"
    assert imported == {"session_id": imported["session_id"], "title": "Größe & Maß / 水", "messages": 3}
    ours, theirs = [await stage.client.get(f"/api/sessions/{id_}") for id_ in ("s1", imported["session_id"])]
    assert [m["content"] for m in ours["messages"]] == [m["content"] for m in theirs["messages"]]
    assert not {m["message_id"] for m in ours["messages"]} & {m["message_id"] for m in theirs["messages"]}
    assert len(theirs["messages"][1]["siblings"]) == 2
    stream_id = theirs["messages"][1]["stream_id"]
    assert (await stage.client.get(f"/api/streams/{stream_id}"))["outcome"] == "stopped"
    await stage.answer(imported["session_id"], "go on", "Yes")
    again, _ = await export(stage.client, imported["session_id"])
    assert [m["content"] for m in json.loads(again)["messages"]][-2:] == ["go on", "Yes"]
    assert len(json.loads((await export(stage.client, "s1"))[0])["messages"]) == 3


@pytest.mark.parametrize(
    ("title", "kept"), [("a\r\nb", "a b"), ("\0", "\ufffd"), (" \n", "hello"), ("Größe", "Größe")]
)
async def test_the_answer_has_the_title_that_is_stored(stage: Stage, title: str, kept: str) -> None:
    """Also where that is not the one of the file; as after a change of the title."""
    await stage.answer("s1", "hello", "Hi")
    whole = json.loads((await export(stage.client, "s1"))[0])
    imported = await (await stage.http.post(IMPORT, json=changed(whole, title=title))).json()
    session = await stage.client.get(f"/api/sessions/{imported['session_id']}")
    assert imported["title"] == session["title"] == kept


async def test_an_imported_chat_takes_its_place_in_the_list(stage: Stage) -> None:
    """One of the future is as old as its import, so a newer prompt comes before it."""
    await stage.answer("s1", "hello", "Hi")
    whole = json.loads((await export(stage.client, "s1"))[0])
    response = await stage.http.post(IMPORT, json=changed(whole, updated_at="2999-01-01T00:00:00.000+00:00"))
    imported = (await response.json())["session_id"]
    await stage.answer("s1", "again", "Hi")
    listed = (await stage.client.get("/api/sessions"))["sessions"]
    assert [session["session_id"] for session in listed] == ["s1", imported]


async def test_images_go_out_and_in(stage: Stage) -> None:
    """As base64 and under new ids; what only calls itself an image is refused."""
    data = png() + b" and the rest"
    image = {"media_type": "image/png", "data": base64.b64encode(data).decode()}
    await stage.client.post("s1", "what is this?", images=[image])
    (await stage.opened()).finish()
    await stage.settled()
    whole = json.loads((await export(stage.client, "s1"))[0])
    (exported,) = whole["messages"][0]["images"]
    assert base64.b64decode(exported["data"]) == data
    imported = await (await stage.http.post(IMPORT, json=whole)).json()
    session = await stage.client.get(f"/api/sessions/{imported['session_id']}")
    (shown,) = session["messages"][0]["images"]
    assert shown["image_id"] != exported["image_id"]
    async with stage.http.get(f"/api/images/{shown['image_id']}") as response:
        assert (response.content_type, await response.read()) == ("image/png", data)
    exported["data"] = base64.b64encode(b"<svg>").decode()
    async with stage.http.post(IMPORT, json=whole) as response:
        await problem(response, 422, "invalid_archive")
    await stage.client.delete(f"/api/sessions/{imported['session_id']}")
    assert (await stage.client.get(f"/api/images/{shown['image_id']}"))["http"] == 404
    await stage.http.post(f"/api/sessions/{imported['session_id']}/restore")
    assert (await stage.http.get(f"/api/images/{shown['image_id']}")).status == 200


async def test_a_form_with_a_file_leads_to_the_page(stage: Stage) -> None:
    """303 to the imported session; without a file the form is refused."""
    await stage.answer("s1", "hello", "Hi")
    text, _ = await export(stage.client, "s1")
    form = aiohttp.FormData()
    form.add_field("file", text.encode(), filename="hello.json", content_type="application/json")
    async with stage.http.post(IMPORT, data=form, allow_redirects=False) as response:
        assert response.status == 303
        page = response.headers["Location"]
    async with stage.http.get(page, headers={"Accept": "text/html"}) as response:
        assert response.status == 200
        assert "Hi" in await response.text()
    empty = aiohttp.FormData({"other": "x"})
    empty.add_field("more", b"x", filename="x")
    async with stage.http.post(IMPORT, data=empty) as response:
        await problem(response, 422, "invalid_request")


async def test_a_refused_form_is_told_on_its_page(stage: Stage) -> None:
    """A browser gets the page that it came from, with what is wrong with the file; a program the problem."""
    await stage.answer("s1", "hello", "Hi")
    form = aiohttp.FormData()
    form.add_field("file", b"nonsense", filename="hello.json", content_type="application/json")
    headers = {"Accept": "text/html", "Referer": f"{stage.live.url}/sessions/s1?q=a%20%22b"}
    async with stage.http.post(IMPORT, data=form, headers=headers) as response:
        assert response.status == 400
        text = await response.text()
    assert 'data-session-id="s1"' in text
    assert re.search(r'data-part="error" role="alert">[^<]*JSON', text)
    form = aiohttp.FormData()
    form.add_field("file", b"nonsense", filename="hello.json", content_type="application/json")
    async with stage.http.post(IMPORT, data=form) as response:
        await problem(response, 400, "invalid_json")


@pytest.mark.parametrize(
    "page",
    [
        "",
        "nonsense",
        "http://[",
        "https://elsewhere.example/sessions/s1",
        "{url}//elsewhere.example/",
        "{url}/\\elsewhere.example/",
        "{url}",
        "{url}/",
        "{url}/api/sessions/s1/streams",
        "{url}/nothing?here=1",
    ],
)
async def test_nobody_is_led_to_another_site_or_in_a_circle(stage: Stage, page: str) -> None:
    """Without a page of this server to go back to there is only the way to a new chat."""
    headers = {"Accept": "text/html", "Referer": page.format(url=stage.live.url)}
    async with stage.http.get("/nothing?here=1", headers=headers) as response:
        text = await response.text()
    assert re.findall(r'<main.*<a[^>]*href="([^"]*)"', text, re.DOTALL) == ["/"]
    assert "Go back" not in text


def changed(whole: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The archive with other members."""
    return {**whole, **changes}


async def test_what_does_not_fit_is_refused(stage: Stage) -> None:
    """A clear 4xx, and nothing was kept: another format, another version, a broken tree, odd values."""
    await branched(stage)
    whole = json.loads((await export(stage.client, "s1"))[0])
    prompt, one, other = whole["messages"]
    stream = whole["streams"][0]
    vast = {"prompt_tokens": 2**60, "completion_tokens": 0}
    broken = [
        {},
        [],
        {"title": "nothing else"},
        changed(whole, version=2),
        changed(whole, kind="another-session"),
        changed(whole, session_id="../../etc"),
        changed(whole, created_at="yesterday"),
        changed(whole, title="x" * 201),
        changed(whole, messages=[one, prompt, other]),  # an answer before its prompt
        changed(whole, messages=[prompt, {**one, "parent_id": "nowhere"}]),
        changed(whole, messages=[prompt, {**one, "parent_id": one["message_id"]}]),  # a circle
        changed(whole, messages=[prompt, prompt]),
        changed(whole, messages=[{**prompt, "role": "system"}]),
        changed(whole, messages=[prompt, {**one, "stream_id": "nowhere"}]),
        changed(whole, streams=[stream, stream]),
        changed(whole, streams=[{**s, "continues": "nowhere"} for s in whole["streams"]]),
        changed(whole, streams=[{**s, "tokens": -1} for s in whole["streams"]]),
        changed(whole, streams=[{**s, "usage": vast} for s in whole["streams"]]),
        changed(whole, messages=[{**prompt, "images": [{"image_id": "i", "media_type": "text/html", "data": "aGk="}]}]),
        changed(whole, messages=[{**prompt, "images": [{"image_id": "i", "media_type": "image/png", "data": "!"}]}]),
    ]  # fmt: skip
    for body in broken:
        async with stage.http.post(IMPORT, json=body) as response:
            detail = (await problem(response, 422, "invalid_archive"))["detail"]
            assert len(detail) < 300
    for data, status, code in (("{", 400, "invalid_json"), (b"\xff", 400, "invalid_json")):
        async with stage.http.post(
            IMPORT, data=data, headers={"Content-Type": "application/json"}
        ) as response:
            await problem(response, status, code)
    async with stage.http.post(IMPORT, data="x", headers={"Content-Type": "text/plain"}) as response:
        await problem(response, 415, "unsupported_media_type")
    listed = (await stage.client.get("/api/sessions"))["sessions"]
    assert [session["session_id"] for session in listed] == ["s1"]


@pytest.mark.parametrize("declared", [True, False], ids=["with-length", "chunked"])
async def test_the_size_of_a_file_has_a_bound(
    tmp_path: Path, declared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """413 as soon as it is known, in JSON and in a form; a smaller one may be larger than any prompt."""
    async with on_stage(tmp_path, max_prompt_bytes=1024) as stage:
        await stage.answer("s1", "hello", "x" * 300_000)
        text, _ = await export(stage.client, "s1")
        async with stage.http.post(IMPORT, json=json.loads(text)) as response:
            assert response.status == 201
    monkeypatch.setattr(wired, "Limits", partial(Limits, max_import_bytes=200_000))
    async with on_stage(tmp_path, max_prompt_bytes=1024) as stage:

        async def parts() -> Any:
            for start in range(0, len(text), 50_000):
                yield text[start : start + 50_000].encode()
                await asyncio.sleep(0)

        headers = {"Content-Type": "application/json"}
        async with stage.http.post(IMPORT, data=text if declared else parts(), headers=headers) as response:
            await problem(response, 413, "import_too_large")
        form = aiohttp.FormData()
        form.add_field("file", text.encode() if declared else parts(), filename="x.json")
        async with stage.http.post(IMPORT, data=form) as response:
            await problem(response, 413, "import_too_large")
