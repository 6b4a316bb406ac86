"""A request for an answer, and its conversion to an exchange: the messages, and their place in the session."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from app.chat.branches import path
from app.chat.contents import Image
from app.chat.errors import CannotContinue, MessageNotFound, ModelWithoutVision, NotAnAnswer, SessionBusy
from app.chat.ports import Backend, ImageData, Model, Options
from app.chat.records import Exchange, Message, StreamState
from app.chat.states import IfActive, Outcome, Status
from app.chat.tracing import UNTRACED, Trace

NewId = Callable[[], str]


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A request for an answer, with model and backend resolved: to a new prompt, or to an earlier one."""

    owner: str
    session_id: str
    model: Model
    backend: Backend
    prompt: str = ""
    # The message that the prompt follows. `None`: it is a root. Unset: it follows the newest message.
    parent_id: str | msgspec.UnsetType | None = msgspec.UNSET
    pictures: Sequence[ImageData] = ()  # images of the prompt
    regenerate: str | None = None  # the id of an answer; generate another one to the same prompt
    continues: str | None = None  # the id of an incomplete answer to continue
    unasked: bool = False  # whether the server continues it by itself
    options: Options = Options()
    remember: bool = False  # whether to store the options as those of the session
    if_active: IfActive = "supersede"
    replaces: Sequence[str] = ()  # interrupted streams; a rollback drops their exchanges like those that run
    key: str | None = None
    request_hash: str = ""
    trace: Trace = UNTRACED

    def options_over(self, session: Options) -> Options:
        """Return the options for the answer: merged over the session's, or replacing them if `remember` is set."""
        return self.options if self.remember else self.options.over(session)

    @property
    def looks_back(self) -> bool:
        """Whether it refers to a message of the conversation by id."""
        return isinstance(self.parent_id or self.regenerate or self.continues, str)


def exchange(ask: Submission, messages: Sequence[Message], *, new_id: NewId, now: str) -> Exchange:
    """Return the exchange for `ask`. `messages` are the session's if `ask.looks_back`, else they may be empty.

    Raises `MessageNotFound`, `NotAnAnswer`, `CannotContinue`, `SessionBusy`, `ModelWithoutVision`.
    """
    stream_id = new_id()
    asks = ask.continues is None and ask.regenerate is None
    if ask.continues is not None:
        prompt, answer = _broken_off(messages, ask.continues, ask.model)
    elif ask.regenerate is not None:
        prompt, _ = _answered(messages, ask.regenerate)
        answer = _answer(ask, prompt, stream_id, new_id, now)
    else:
        prompt = _prompt(ask, messages, stream_id, new_id, now)
        answer = _answer(ask, prompt, stream_id, new_id, now)
    if prompt.images and ask.model.vision is False:
        raise ModelWithoutVision(
            f"{ask.model.model_id} can't see images. Choose another model or remove the images."
        )
    return Exchange(
        owner=ask.owner,
        session_id=ask.session_id,
        created_at=now,
        stream=_registered(ask, stream_id, answer),
        prompt=prompt,
        answer=answer,
        pictures=ask.pictures,
        asks=asks,
        unasked=ask.unasked,
        follows_newest=asks and ask.parent_id is msgspec.UNSET,
        remember=ask.options if ask.remember else None,
        options=ask.options,
        key=ask.key,
        request_hash=ask.request_hash,
    )


def _prompt(ask: Submission, messages: Sequence[Message], stream_id: str, new_id: NewId, now: str) -> Message:
    parent_id = ask.parent_id or None
    if parent_id is not None and _find(messages, parent_id).role != "assistant":
        raise NotAnAnswer("`parent_id` must be the ID of an answer, or null.")
    return Message(
        message_id=new_id(),
        parent_id=parent_id,
        role="user",
        content=ask.prompt,
        stream_id=stream_id,
        created_at=now,
        images=[Image(new_id(), picture.media_type, len(picture.data)) for picture in ask.pictures],
    )


def _answer(ask: Submission, prompt: Message, stream_id: str, new_id: NewId, now: str) -> Message:
    return Message(
        message_id=new_id(),
        parent_id=prompt.message_id,
        role="assistant",
        content="",
        stream_id=stream_id,
        model=ask.model.model_id,
        created_at=now,
    )


def _registered(ask: Submission, stream_id: str, answer: Message) -> StreamState:
    return StreamState(
        stream_id=stream_id,
        session_id=ask.session_id,
        status=Status.QUEUED,
        outcome=None,
        finish_reason=None,
        model=ask.model.model_id,
        message_id=answer.message_id,
        continues=answer.stream_id if ask.continues is not None else None,
        tokens=0,
        duration_ms=0,
        ttft_ms=None,
        upstream_closed=True,
    )


def _find(messages: Sequence[Message], message_id: str) -> Message:
    return path(messages, message_id)[-1]


def _answered(messages: Sequence[Message], answer_id: str) -> tuple[Message, Message]:
    """Return the prompt of an answer, and the answer."""
    *before, answer = path(messages, answer_id)
    if answer.role != "assistant":
        raise NotAnAnswer("This message isn't an answer. Use the ID of an answer.")
    if not before:
        raise MessageNotFound("The message before this answer was deleted.")
    return before[-1], answer


def _broken_off(messages: Sequence[Message], answer_id: str, model: Model) -> tuple[Message, Message]:
    """Return the prompt and the answer to continue."""
    prompt, answer = _answered(messages, answer_id)
    if answer.outcome is None:
        raise SessionBusy("This answer is still in progress. Wait for it, or stop it.")
    if answer.stream_id is None:
        raise CannotContinue(
            "This answer wasn't generated here, so it can't be continued. Regenerate it instead."
        )
    if answer.outcome is Outcome.COMPLETE and answer.finish_reason != "length":
        raise CannotContinue("This answer is already complete. Regenerate it to get another one.")
    if any(message.parent_id == answer_id for message in messages):
        raise CannotContinue("Only the last answer of a chat can be continued. Regenerate this one instead.")
    if answer.content and not model.continues:
        raise CannotContinue(
            f"The model server of {model.model_id} can't continue an answer. Regenerate it instead."
        )
    return prompt, answer
