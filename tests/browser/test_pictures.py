"""Pictures of a prompt stand in it, however large they are and however many."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from playwright.async_api import Browser

from tests.benchmarks.page.stage import seen
from tests.browser.chat import Chat
from tests.browser.printed import archive, png
from tests.support.server import LiveServer

SIZES = [(1600, 400), (400, 1600), (1200, 900), (40, 30), (2000, 200)]
LOADED = """() => {
    const pictures = Array.from(document.querySelectorAll(".pictures img"));
    for (const each of pictures) each.loading = "eager";
    return pictures.length > 0 && pictures.every((each) => each.complete && each.naturalWidth > 0);
}"""
# Left and right edge of the column and of each picture, and how far each is from its own proportions.
EDGES = """() => {
    const edges = (each) => { const { left, right } = each.getBoundingClientRect(); return [left, right]; };
    const pictures = Array.from(document.querySelectorAll(".pictures img"));
    const skew = (each) => Math.abs(each.clientWidth / each.clientHeight / each.naturalWidth * each.naturalHeight - 1);
    return [edges(document.querySelector(".message")), pictures.map(edges), pictures.map(skew)];
}"""


def pictured(count: int) -> dict[str, Any]:
    """Return a chat whose first prompt has so many pictures."""
    chat = archive()
    chat["messages"][0]["images"] = [
        {
            "image_id": f"i{number}",
            "media_type": "image/png",
            "data": base64.b64encode(png(50 * number, *size)).decode(),
        }
        for number, size in enumerate(SIZES[:count])
    ]
    chat["messages"][2]["images"] = []
    return chat


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("count", [1, 2, 5])
async def test_no_picture_hangs_out_of_its_prompt(
    browser: Browser, server: LiveServer, width: int, count: int
) -> None:
    """Each is in the column, the last in its row ends where the prompt does, and none is distorted."""
    context = await browser.new_context(viewport={"width": width, "height": 800})
    async with server.client.http.post("/api/sessions/import", json=pictured(count)) as answer:
        path = f"/sessions/{(await answer.json())['session_id']}"
    chat = Chat(await context.new_page(), server.url)
    await chat.open(path)
    await seen(chat.page, LOADED)
    (left, right), pictures, skew = await chat.page.evaluate(EDGES)
    assert len(pictures) == count
    assert all(left - 1 <= begin < end <= right + 1 for begin, end in pictures)
    assert max(end for _, end in pictures) == pytest.approx(right, abs=1)
    assert max(skew) < 0.05
    await context.close()
