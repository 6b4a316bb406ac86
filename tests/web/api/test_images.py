"""Images of prompts: what is taken, what is kept and shown again, and what the model gets."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.chat.ports import ImageData
from app.web.input.image_types import media_type
from tests.doubles.ollama import OllamaDouble
from tests.doubles.openai import OpenAIDouble
from tests.support.client import Client
from tests.support.pictures import gif, jpeg, png, webp
from tests.support.request_images import sent_images
from tests.support.server import serve
from tests.web.stage import Stage, on_stage, problem

PNG, JPEG, GIF, WEBP = png(), jpeg(), gif(), webp()
KINDS = {PNG: "image/png", JPEG: "image/jpeg", GIF: "image/gif", WEBP: "image/webp"}
STREAMS = "/api/sessions/s1/streams"


def images(*files: bytes) -> list[dict[str, str]]:
    """Images as a body has them."""
    return [{"media_type": "image/png", "data": base64.b64encode(file).decode()} for file in files]


async def prompt_of(client: Client, session_id: str = "s1") -> dict[str, Any]:
    """The first message of a session."""
    found: dict[str, Any] = (await client.get(f"/api/sessions/{session_id}"))["messages"][0]
    return found


@pytest.mark.parametrize("data", [b"", b"\x89PNG", b"GIF87", b"RIFF0000WAVE", b"<svg>", b"BM"])
def test_what_is_no_image(data: bytes) -> None:
    """The first bytes decide."""
    assert media_type(data) is None
    for file, kind in KINDS.items():
        assert media_type(file) == kind


async def test_images_go_to_the_model_with_their_prompt(stage: Stage) -> None:
    """In their order, with the type that their bytes tell; also with every later prompt that follows."""
    posted = await stage.client.post("s1", "what is this?", images=images(PNG, JPEG))
    generation = await stage.opened()
    pictures = [ImageData("image/png", PNG), ImageData("image/jpeg", JPEG)]
    assert await sent_images(generation.request) == pictures
    generation.finish()
    start = (await stage.client.read_stream(posted["stream_id"]))[0].data
    prompt = await prompt_of(stage.client)
    assert start["prompt"]["images"] == prompt["images"]
    assert [(i["media_type"], i["size"]) for i in prompt["images"]] == [
        ("image/png", len(PNG)),
        ("image/jpeg", len(JPEG)),
    ]
    await stage.client.post("s1", "and now?")
    assert await sent_images((await stage.opened(2)).request) == pictures


async def test_an_image_is_shown_again(stage: Stage) -> None:
    """To its owner, byte for byte, as what it is and nothing else. A browser that has it asks before it shows it."""
    await stage.client.post("s1", "look", images=images(*KINDS))
    for image, (file, kind) in zip((await prompt_of(stage.client))["images"], KINDS.items(), strict=True):
        async with stage.http.get(f"/api/images/{image['image_id']}") as response:
            assert (response.status, response.content_type, await response.read()) == (200, kind, file)
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Cache-Control"] == "private, no-cache"
            known = {"If-None-Match": response.headers["ETag"]}
        async with stage.http.get(f"/api/images/{image['image_id']}", headers=known) as response:
            assert (response.status, await response.read()) == (304, b"")
    async with stage.http.get("/api/images/unknown") as response:
        await problem(response, 404, "image_not_found")


async def test_an_image_goes_with_its_session(stage: Stage) -> None:
    """And with an exchange that is rolled back."""
    await stage.client.post("s1", "look", images=images(PNG))
    await stage.opened()
    first = (await prompt_of(stage.client))["images"][0]["image_id"]
    await stage.client.post("s1", "no, this", images=images(GIF), if_active="rollback")
    (await stage.opened(2)).finish()
    await stage.settled()
    await stage.client.get("/api/sessions")  # by then everything is on disk
    second = (await prompt_of(stage.client))["images"][0]["image_id"]
    assert (await stage.client.delete("/api/sessions/s1"))["http"] == 204
    for image_id in (first, second):
        async with stage.http.get(f"/api/images/{image_id}") as response:
            await problem(response, 404, "image_not_found")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"images": images(b"<svg xmlns='http://www.w3.org/2000/svg'/>")}, 422, "unknown_image"),
        ({"images": images(b"")}, 422, "unknown_image"),
        ({"images": [{"media_type": "image/png", "data": "no base64"}]}, 422, "invalid_request"),
        ({"images": [{"media_type": "image/png"}]}, 422, "invalid_request"),
        ({"images": [{"image_id": "i", "data": "R0lGODlh"}]}, 422, "invalid_request"),
        ({"images": [{"image_id": "i"}] * 33}, 413, "too_many_images"),
        ({"images": images(*[GIF] * 33)}, 413, "too_many_images"),
        ({"images": images(PNG + bytes(4096), PNG)}, 413, "images_too_large"),
        ({"images": images(PNG), "model": "scripted/short"}, 422, "model_without_vision"),
    ],
)
async def test_what_is_refused(tmp_path: Path, body: dict[str, Any], status: int, code: str) -> None:
    """With a sentence that says why, before anything is registered."""
    async with on_stage(tmp_path, max_image_bytes=4096) as stage:
        async with stage.http.post(STREAMS, json={"prompt": "look", **body}) as response:
            await problem(response, status, code)
        assert (await stage.client.get("/api/sessions/s1"))["http"] == 404


async def test_a_request_that_is_too_large_may_be_one_of_images(tmp_path: Path) -> None:
    """It is turned down before it is read: the sentence names the limit of the whole, and all that may be smaller."""
    body = {"prompt": "look", "images": images(PNG + bytes(400_000))}
    async with on_stage(tmp_path, max_prompt_bytes=65_536, max_image_bytes=4096) as stage:
        async with stage.http.post(STREAMS, json=body) as response:
            refused = await problem(response, 413, "request_too_large")
        assert refused["detail"].startswith(
            "The request is larger than 0.4 MiB. Send fewer or smaller images"
        )


async def test_a_prompt_may_have_images_that_were_sent_before(stage: Stage) -> None:
    """By their ids, in the place of their bytes, beside new ones; the model gets both."""
    await stage.client.post("s1", "what is this?", images=images(PNG))
    (await stage.opened()).finish()
    await stage.settled()
    before = (await prompt_of(stage.client))["images"][0]["image_id"]
    await stage.client.post("s1", "and this?", parent_id=None, images=[{"image_id": before}, *images(GIF)])
    generation = await stage.opened(2)
    assert await sent_images(generation.request) == [
        ImageData("image/png", PNG),
        ImageData("image/gif", GIF),
    ]
    generation.finish()
    await stage.settled()
    kept = (await prompt_of(stage.client))["images"]
    assert [image["media_type"] for image in kept] == ["image/png", "image/gif"]
    assert kept[0]["image_id"] != before, "the earlier prompt can be deleted without it"


async def test_an_image_that_is_not_there_any_more_is_missed(stage: Stage) -> None:
    """With a sentence, before anything is registered."""
    async with stage.http.post(
        STREAMS, json={"prompt": "look", "images": [{"image_id": "gone"}]}
    ) as response:
        await problem(response, 404, "image_not_found")
    assert (await stage.client.get("/api/sessions/s1"))["http"] == 404


async def test_images_are_for_a_prompt(stage: Stage) -> None:
    """There is nothing to show them with otherwise."""
    await stage.answer("s1", "hello", "Hi")
    answer = (await stage.client.get("/api/sessions/s1"))["messages"][1]["message_id"]
    for what in ("regenerate", "continue"):
        async with stage.http.post(STREAMS, json={what: answer, "images": images(PNG)}) as response:
            await problem(response, 422, "invalid_request")


async def test_a_blind_model_gets_no_images(stage: Stage) -> None:
    """Of earlier prompts it reads the text; to answer one that has images it is refused."""
    await stage.client.post("s1", "look", images=images(PNG))
    (await stage.opened()).finish()
    await stage.settled()
    await stage.client.ask("s1", "thanks", model="scripted/short")
    assert all(not message.pictures for message in stage.live.scripted.requests[-1].messages)
    answer = (await stage.client.get("/api/sessions/s1"))["messages"][1]["message_id"]
    refused = await stage.client.register("s1", regenerate=answer, model="scripted/short")
    assert (refused["http"], refused["code"]) == (422, "model_without_vision")


@pytest.mark.slow
async def test_a_page_offers_images_to_models_that_see(stage: Stage) -> None:
    """The model of the last answer is chosen; one that cannot see is asked with words alone."""
    for session_id, model, is_hidden in (("s1", "scripted/vision", False), ("s2", "scripted/short", True)):
        await stage.client.ask(session_id, "hello", model=model)
        async with stage.http.get(f"/sessions/{session_id}") as response:
            page = await response.text()
        chosen = re.search(r'<option value="([^"]+)"[^>]* selected', page)
        assert chosen is not None
        assert chosen[1] == model
        attach = re.search(r'<label[^>]* data-part="attach"([^>]*)>', page)
        assert attach is not None
        assert ("hidden" in attach[1].split()) is is_hidden


LARGEST = PNG + bytes(8 * 1024 * 1024 - len(PNG))


def large_body(*files: bytes, model: str) -> bytes:
    """A body made beforehand, for the test shares the server's event loop."""
    return json.dumps({"prompt": "look", "model": model, "images": images(*files)}).encode()


LARGE_BODIES = {
    model: large_body(LARGEST, model=model) for model in ("ollama/double", "openai/double", "scripted/vision")
}
TOO_LARGE = large_body(LARGEST, PNG, model="scripted/vision")


async def sent(client: Client, body: bytes, session_id: str = "s1") -> dict[str, Any]:
    """Send a body in pieces, and return the answer."""
    file, headers = io.BytesIO(body), {"Content-Type": "application/json"}
    async with client.http.post(
        f"/api/sessions/{session_id}/streams", data=file, headers=headers
    ) as response:
        return {"http": response.status, **await response.json(content_type=None)}


@pytest.mark.slow
async def test_the_largest_images_that_are_taken(tmp_path: Path) -> None:
    """Eight megabytes, on to the model server, without holding anybody up; a byte more is refused."""
    async with (
        OllamaDouble() as ollama,
        OpenAIDouble() as openai,
        serve(tmp_path, ollama_url=ollama.url, openai_url=openai.url) as live,
    ):
        ollama.capabilities = {"double:latest": ["completion", "vision"]}
        for model, body in LARGE_BODIES.items():
            posted = await sent(live.client, body, model.partition("/")[0])
            assert (posted["http"], model) == (201, model)
            end = (await live.client.read_stream(posted["stream_id"]))[-1]
            assert end.data["outcome"] == "complete"
        answer = (await live.client.get("/api/sessions/scripted"))["messages"][1]
        assert answer["content"] == f"I see 1 image of {len(LARGEST)} bytes together."
        refused = await sent(live.client, TOO_LARGE)
        assert (refused["http"], refused["code"]) == (413, "images_too_large")


async def test_a_form_sends_files(client: Client) -> None:
    """Whichever of its fields they are in; one without a file is none, and what is no image is refused on the page."""
    form = aiohttp.FormData({"prompt": "look", "model": "scripted/vision"})
    form.add_field("image", io.BytesIO(PNG), filename="a.png", content_type="image/png")
    form.add_field("images", io.BytesIO(GIF), filename="b.gif", content_type="image/gif")
    form.add_field("images", b"", filename="", content_type="application/octet-stream")
    async with client.http.post(STREAMS, data=form, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, "/sessions/s1")
    assert [image["media_type"] for image in (await prompt_of(client))["images"]] == [
        "image/png",
        "image/gif",
    ]
    form = aiohttp.FormData({"prompt": "look", "model": "scripted/vision"})
    form.add_field("image", io.BytesIO(b"text"), filename="a.png", content_type="image/png")
    async with client.http.post(STREAMS, data=form) as response:
        assert (response.status, response.content_type) == (422, "text/html")
        assert "PNG, JPEG, WebP and GIF" in await response.text()


async def test_a_form_keeps_images(client: Client) -> None:
    """The form of an edited prompt, as a browser without scripts sends it."""
    await client.ask("s1", "look", model="scripted/vision", images=images(PNG))
    page = await (await client.http.get("/sessions/s1")).text()
    (image_id,) = re.findall(r'name="image_id" value="([^"]+)"', page)
    form = {"prompt": "look again", "parent_id": "", "model": "scripted/vision", "image_id": image_id}
    async with client.http.post(STREAMS, data=form, allow_redirects=False) as response:
        assert response.status == 303
    shown = await prompt_of(client)
    assert (shown["content"], len(shown["images"])) == ("look again", 1)


async def test_models_say_whether_they_see(client: Client) -> None:
    """And whether they can continue."""
    models = {model["id"]: model for model in (await client.get("/api/models"))["models"]}
    assert models["scripted/vision"]["vision"] is True
    assert models["scripted/short"]["vision"] is False
    assert models["scripted/short"]["continues"] is True
