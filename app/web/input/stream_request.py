"""Reads and validates the request for a stream, JSON or form."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from app.chat.ports import Options
from app.chat.states import IfActive
from app.web.app_keys import LIMITS
from app.web.http.body_type import body_type
from app.web.i18n.error_texts import SENTENCES
from app.web.input.bodies import FORMS, json_body, quoted
from app.web.input.forms import read_form
from app.web.input.multipart_body import Upload
from app.web.input.option_bounds import check_options
from app.web.problems import ProblemError
from app.web.rules import MOST_STOPS

LONGEST_MODEL = 1000  # characters of a name; no model has a longer one
# Or the id of an image. No database can be asked for NUL.
MessageId = Annotated[str, Meta(max_length=64, pattern=r"^[^\x00]*$")]

WHAT = ("prompt", "regenerate", "continue")  # a request has exactly one of these
IMAGES = ("image", "images")  # form fields that may be files
OPTIONS = ("system", "temperature", "top_p", "max_tokens", "seed", "stop")  # options with a form field


class ImageUpload(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An image of a prompt: new data (PNG, JPEG, WebP or GIF), or the ID of an image sent before."""

    data: bytes | None = None  # base64
    media_type: Annotated[str, Meta(max_length=255)] = ""
    image_id: MessageId | None = None  # in the place of `data`: a prompt that is edited keeps its images


class StreamRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The body of `POST /api/sessions/{session_id}/streams`: exactly one of `prompt`, `regenerate` and `continue`."""

    prompt: str | None = None
    parent_id: MessageId | msgspec.UnsetType | None = msgspec.UNSET  # the message that the prompt follows
    images: list[ImageUpload] = []  # that come with the prompt
    regenerate: MessageId | None = None  # an answer: another one to the same prompt
    continues: MessageId | None = msgspec.field(name="continue", default=None)  # an answer that broke off
    model: str | None = None
    options: Options = Options()
    remember: bool = False
    if_active: IfActive = "supersede"


async def read_stream_request(request: web.Request) -> StreamRequest:
    """Return the body of a POST, JSON or form, checked. Raises a 4xx that says what to do."""
    is_form = body_type(request) in FORMS
    body = await (form_body(request) if is_form else json_body(request, StreamRequest))
    _check(body)
    check_options(body.options)
    if body.model is not None and len(body.model) > LONGEST_MODEL:
        # It is unknown whatever comes after that; the refusal quotes it.
        body = msgspec.structs.replace(body, model=f"{body.model[:LONGEST_MODEL]}…")
    if body.prompt is not None:
        _check_prompt(body.prompt, request.app[LIMITS].max_prompt_bytes)
    return body


def _check(body: StreamRequest) -> None:
    given = [body.prompt, body.regenerate, body.continues]
    if sum(one is not None for one in given) != 1:
        raise ProblemError(422, "invalid_request", "Send exactly one of `prompt`, `regenerate`, `continue`.")
    if any((image.data is None) == (image.image_id is None) for image in body.images):
        raise ProblemError(
            422, "invalid_request", "An image needs either `data` or the `image_id` of an image sent before."
        )
    if body.prompt is not None:
        return
    if body.images:
        raise ProblemError(422, "invalid_request", "`images` can only be sent with a `prompt`.")
    if body.parent_id is not msgspec.UNSET:
        raise ProblemError(422, "invalid_request", "`parent_id` can only be sent with a `prompt`.")
    if body.if_active == "rollback":
        raise ProblemError(422, "invalid_request", "`if_active: rollback` can only be used with a `prompt`.")


def _check_prompt(prompt: str, limit: int) -> None:
    if not prompt.strip():
        raise ProblemError(422, "prompt_empty", "The message is empty. Write something first.")
    size = len(prompt.encode(errors="surrogatepass"))
    if size > limit:
        raise ProblemError(
            413, "prompt_too_long", f"The message is too long ({size} bytes). The limit is {limit} bytes."
        )


def request_hash(body: StreamRequest) -> str:
    """Return the hash that detects reuse of an idempotency key for a different request (SHA-256, hex)."""
    return hashlib.sha256(msgspec.json.encode(body)).hexdigest()


# ---- forms ---------------------------------------------------------------------------------------------------


async def form_body(request: web.Request) -> StreamRequest:
    """Return the request in a form. An empty field counts as missing. Raises a 4xx.

    Without `regenerate` and `continue` it is a prompt, which may be empty. Options are remembered if the form has any
    of their fields.
    """
    fields = await read_form(request)
    text = _texts(fields)
    is_prompt = not (text("regenerate") or text("continue"))
    body: dict[str, Any] = {
        # Browsers send line endings as CR LF (WHATWG HTML, section 4.10.22); a prompt is stored with LF.
        "prompt": (text("example") or text("prompt")).replace("\r\n", "\n") if is_prompt else None,
        "regenerate": text("regenerate") or None,
        "continue": text("continue") or None,
        "model": text("model") or None,
        "options": dict(_options(text)),
        "remember": any(name in fields for name in OPTIONS),
    }
    if is_prompt:
        body["images"] = [*_kept(fields), *(ImageUpload(data) for data in _files(fields))]
    if is_prompt and "parent_id" in fields:
        body["parent_id"] = text("parent_id") or None  # empty: the prompt begins the conversation
    try:
        return msgspec.convert(body, StreamRequest, strict=False)
    except msgspec.ValidationError as error:
        raise ProblemError(422, "invalid_request", f"Invalid request: {quoted(error)}.") from error


def _options(text: Callable[[str], str]) -> Iterator[tuple[str, Any]]:
    """Yield the options that are filled in. Raises a 422 that names the invalid one."""
    for name in OPTIONS:
        typed = text(name)
        value = _lines(typed, MOST_STOPS + 1) if name == "stop" else typed.replace("\r\n", "\n").strip()
        if not value:
            continue
        try:
            msgspec.convert({name: value}, Options, strict=False)
            is_fit = name != "stop" or len(value) <= MOST_STOPS
        except msgspec.ValidationError:
            is_fit = False
        if not is_fit:
            code = f"invalid_{name}"
            raise ProblemError(422, code, SENTENCES[code])
        yield name, value


def _lines(text: str, most: int) -> list[str]:
    """Return the first lines of a text that are not empty."""
    return [found[0] for found in islice(re.finditer(r"[^\r\n]+", text), most)]


def _kept(fields: Mapping[str, Any]) -> Iterator[ImageUpload]:
    """Yield the images that an edited prompt keeps."""
    for name, value in fields.items():
        if name == "image_id" and isinstance(value, str):
            yield ImageUpload(image_id=value)


def _files(fields: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield the data of the uploaded files."""
    for name, value in fields.items():
        if name in IMAGES and isinstance(value, Upload):
            yield bytes(value.data)


def _texts(fields: Mapping[str, Any]) -> Callable[[str], str]:
    def text(name: str) -> str:
        value = fields.get(name, "")
        if not isinstance(value, str):
            raise ProblemError(422, "invalid_request", f"Send {name} as text, not as a file.")
        return value

    return text
