"""Prompts and stops as forms, for browsers without JavaScript."""

from __future__ import annotations

import gc
import io
import re

import aiohttp
import pytest
from aiohttp import web

from app.chat.ports import Options
from app.web.app_keys import HISTORY
from app.web.i18n.error_texts import SENTENCES
from app.web.input.forms import FORM as FIELDS
from tests.web.stage import Stage

STREAMS = "/api/sessions/s1/streams"
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"}


def _multipart(form: dict[str, str]) -> aiohttp.MultipartWriter:
    multipart = aiohttp.MultipartWriter("form-data")
    for name, text in form.items():
        multipart.append(text).set_content_disposition("form-data", name=name)
    return multipart


async def test_a_form_is_answered_with_the_page(stage: Stage) -> None:
    """303 to the session's page, which shows the prompt; the stream runs."""
    async with stage.http.post(STREAMS, data={"prompt": "hello"}, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, "/sessions/s1")
    assert (await stage.opened()).request.messages[-1].content == "hello"
    async with stage.http.get("/sessions/s1") as response:
        assert (response.status, response.content_type) == (200, "text/html")
        assert "hello" in await response.text()


async def test_a_form_may_name_the_model(stage: Stage) -> None:
    """An empty choice is the default model."""
    for model in ("", "puppet/puppet"):
        async with stage.http.post(
            STREAMS, data={"prompt": "hello", "model": model}, allow_redirects=False
        ) as response:
            assert response.status == 303


async def test_line_ends_are_those_that_were_typed(stage: Stage) -> None:
    """Browsers send CR LF in forms; the model gets LF. Both encodings of forms are read."""
    form = {"prompt": "one\r\ntwo"}
    for number, data in enumerate([form, _multipart(form)], start=1):
        async with stage.http.post(STREAMS, data=data, allow_redirects=False) as response:
            assert response.status == 303
        assert (await stage.opened(number)).request.messages[-1].content == "one\ntwo"


async def test_a_refused_form_shows_the_page_with_what_was_typed(stage: Stage) -> None:
    """The status of the refusal, the sentence beside the form, and the text escaped, in the form again."""
    async with stage.http.post(STREAMS, data={"prompt": "<b>hi</b>", "model": "no/such"}) as response:
        page = await response.text()
        assert (response.status, response.content_type) == (422, "text/html")
    assert "There is no model named" in page
    assert "&lt;b&gt;hi&lt;/b&gt;" in page
    assert "<b>hi</b>" not in page
    assert (await stage.client.get("/api/sessions/s1"))["http"] == 404


async def test_a_refused_form_keeps_what_was_typed_in_a_chat_that_goes(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chat may be deleted after it was looked for, and before its page is made."""
    looked_for: list[str] = []

    async def check(_owner: str, session_id: str) -> bool:
        looked_for.append(session_id)
        return True

    monkeypatch.setattr(stage.live.app[HISTORY], "check", check)
    async with stage.http.post(
        STREAMS, data={"prompt": "typed", "model": "no/such"}, headers=FORM
    ) as response:
        page = await response.text()
    assert looked_for
    assert response.status == 422, page
    assert "typed</textarea>" in page


async def test_a_long_text_is_kept_whole_when_it_is_refused(stage: Stage) -> None:
    """In its field, also across the parts that it is rendered in; the short fields up to a length."""
    texts = {name: f"{name} \N{GRINNING FACE}" + "<\n" * 20_000 + "end" for name in ("system", "stop")}
    form = {"prompt": '"' * 300_000 + "end", **texts, "temperature": "1" * 5000}
    async with stage.http.post(STREAMS, data=_multipart(form)) as response:
        page = await response.text()
        assert response.status == 422  # for the temperature
    assert "&#34;" * 300_000 + "end</textarea>" in page
    for name, text in texts.items():
        shown = re.search(rf'<textarea id="{name}"[^>]*>\n(.*?)</textarea>', page, re.DOTALL)
        assert shown is not None
        assert shown[1] == text.replace("<", "&lt;")
    assert f'value="{"1" * 1000}"' in page


@pytest.mark.parametrize("kind", ["urlencoded", "multipart"])
async def test_the_texts_of_a_form_are_bounded_together(stage: Stage, kind: str) -> None:
    """413 for a prompt and a system prompt that fit by themselves; what came before is in the form again."""
    form = {"temperature": "0.25", "prompt": "x" * 500_000, "system": "y" * 300_000}
    data = form if kind == "urlencoded" else _multipart(form)
    async with stage.http.post(STREAMS, data=data) as response:
        page = await response.text()
        assert response.status == 413
    assert "too long together" in page
    assert "x" * 500_000 in page
    assert 'value="0.25"' in page
    assert "yyy" not in page


@pytest.mark.parametrize("kind", ["urlencoded", "multipart"])
async def test_the_texts_of_a_form_are_counted_in_bytes(stage: Stage, kind: str) -> None:
    """In both encodings alike: 600,000 characters may be 800,000 bytes."""
    prompt = "\N{LATIN SMALL LETTER E WITH ACUTE}" * 200_000 + "x" * 400_000
    if kind == "urlencoded":
        posting = stage.http.post(STREAMS, data=io.BytesIO(b"prompt=" + prompt.encode()), headers=FORM)
    else:
        posting = stage.http.post(STREAMS, data=_multipart({"prompt": prompt}))
    async with posting as response:
        assert response.status == 413
        assert "too long together" in await response.text()


async def test_a_form_that_is_done_is_forgotten(stage: Stage) -> None:
    """The garbage collector looks seldom, and a form may have megabytes: nothing may wait for it."""
    gc.collect()
    gc.disable()
    try:
        for path, form in (
            (STREAMS, {"prompt": "hello"}),
            ("/preferences", {"theme": "dark"}),
            ("/sessions/s1/rename", {"title": "Other"}),
            ("/sessions/s1/refresh", {"prompt": "hello"}),
            ("/healthz", None),  # the connection knows its last request
        ):
            method = "GET" if form is None else "POST"
            async with stage.http.request(method, path, data=form, allow_redirects=False) as response:
                assert response.status in {200, 303}
        kept = [each for each in gc.get_objects() if isinstance(each, web.Request) and FIELDS in each]
    finally:
        gc.enable()
    assert kept == []


async def test_a_form_may_carry_parameters(stage: Stage) -> None:
    """Numbers as numbers; an empty field leaves the choice open."""
    form = {
        "prompt": "hello",
        "system": "Be brief.",
        "temperature": "0.5",
        "top_p": "",
        "max_tokens": "64",
        "seed": " 7 ",
    }
    async with stage.http.post(STREAMS, data=form, allow_redirects=False) as response:
        assert response.status == 303
    options = (await stage.opened()).request.options
    assert options == Options(system="Be brief.", temperature=0.5, max_tokens=64, seed=7)


@pytest.mark.parametrize("field", ["temperature", "top_p", "max_tokens", "seed"])
async def test_a_parameter_that_does_not_fit_is_refused(stage: Stage, field: str) -> None:
    """422, and what was typed is in the form again."""
    async with stage.http.post(
        STREAMS, data={"prompt": "hello", "system": "Be brief.", field: "99e99"}
    ) as response:
        page = await response.text()
        assert response.status == 422
    assert SENTENCES[f"invalid_{field}"] in page
    assert 'value="99e99"' in page
    assert "Be brief." in page


async def test_looking_for_models_again_loses_nothing(stage: Stage) -> None:
    """Refresh is a part of the form: what was typed comes back."""
    async with stage.http.post(
        "/sessions/s1/refresh", data={"prompt": "half a thou", "seed": "7"}
    ) as response:
        page = await response.text()
        assert response.status == 200
    assert "half a thou</textarea>" in page
    assert 'value="7"' in page


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"prompt=", 422),
        (b"prompt=+%0D%0A+", 422),
        (b"model=puppet%2Fpuppet", 422),
        (b"prompt=" + b"x" * 300_000, 413),
        (b"prompt=" + b"x" * 2_000_000, 413),
        (b"prompt=%ff%fe", 400),
        (b"prompt=\xff", 400),
    ],
    ids=["empty", "spaces", "missing", "too long", "far too long", "not UTF-8", "not ASCII"],
)
async def test_bad_forms(stage: Stage, data: bytes, status: int) -> None:
    """A page with the status and a sentence; nothing is registered."""
    async with stage.http.post(STREAMS, data=io.BytesIO(data), headers=FORM) as response:
        assert (response.status, response.content_type) == (status, "text/html"), await response.text()
        assert "</html>" in await response.text()
    assert stage.registry.statistics().started == 0


async def test_a_file_is_no_prompt(stage: Stage) -> None:
    """422, and a broken multipart body is a 4xx too."""
    form = aiohttp.FormData()
    form.add_field("prompt", b"hello", filename="prompt.txt")
    async with stage.http.post(STREAMS, data=form) as response:
        assert response.status == 422
    for content_type in (
        "multipart/form-data; boundary=x",
        "multipart/form-data",
        "application/x-www-form-urlencoded; charset=nonsense",
    ):
        async with stage.http.post(
            STREAMS, data=b"nonsense", headers={"Content-Type": content_type}
        ) as response:
            assert 400 <= response.status < 500


async def test_the_stop_form(stage: Stage) -> None:
    """303 to the page, and the stream is stopped; harmless where nothing runs."""
    registered = await stage.client.post("s1", "hello")
    generation = await stage.opened()
    for _ in range(2):
        async with stage.http.post("/sessions/s1/stop", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, "/sessions/s1")
    assert generation.aborted.is_set()
    assert (await stage.client.get(f"/api/streams/{registered['stream_id']}"))["outcome"] == "stopped"
