"""The contract of `History`: what every implementation does, in memory and on each database."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from app.chat.contents import Image, Problem
from app.chat.errors import AnswerMoved, CannotContinue, ImageNotFound, SessionNotFound, StreamNotFound
from app.chat.ports import ImageData, Options
from app.chat.records import Admission, Exchange, History, KnownKey, Message
from app.chat.states import Outcome
from tests.history.samples import OWNER, continued, ended, exchange, failed, regenerated

OTHER = "somebody else"


async def contents(history: History, session_id: str = "s") -> list[str]:
    """What the messages of a session say."""
    return [message.content for message in await history.messages(OWNER, session_id)]


async def titles(history: History, query: str = "") -> list[str]:
    """The titles of the sessions that hold `query`."""
    return [info.title for info in (await history.sessions(OWNER, query=query)).sessions]


# ---- exchanges -----------------------------------------------------------------------------------------------


async def test_a_session_begins_with_its_first_prompt(history: History) -> None:
    """It does not exist before; then it has the prompt's words for a title, and both messages."""
    assert await history.check(OWNER, "s") is False
    asked = exchange(prompt="  Why is\n the sky blue?  ")
    await history.admit(asked)
    assert await history.check(OWNER, "s") is True
    info, messages = await history.conversation(OWNER, "s")
    assert (info.session_id, info.title) == ("s", "Why is the sky blue?")
    assert info.created_at == info.updated_at == asked.prompt.created_at
    assert messages == [asked.prompt, asked.answer]


async def test_what_an_answer_ended_with_is_seen_at_once(history: History) -> None:
    """Text, reasoning, outcome and figures are there with the next read, whatever the disk does."""
    asked = exchange()
    await history.admit(asked)
    state = ended(asked)
    await history.finish(state, "Because of Rayleigh.", "Hm.")
    _, answer = await history.messages(OWNER, "s")
    assert (answer.content, answer.reasoning, answer.outcome) == ("Because of Rayleigh.", "Hm.", "complete")
    assert (answer.tokens, answer.duration_ms, answer.model) == (3, 120, "scripted/story")
    assert await history.stream(OWNER, state.stream_id) == state


async def test_an_error_is_kept_with_the_answer_that_it_cut_off(history: History) -> None:
    """The code and the sentence are there for whoever reads the session later."""
    asked = exchange()
    await history.admit(asked)
    state = failed(asked)
    await history.finish(state, "Because", "")
    _, answer = await history.messages(OWNER, "s")
    assert (answer.outcome, answer.error) == (Outcome.FAILED, state.error)
    assert await history.stream(OWNER, state.stream_id) == state


async def test_to_finish_twice_is_to_finish_once(history: History) -> None:
    """The same answer again changes nothing."""
    asked = exchange()
    await history.admit(asked)
    for _ in range(2):
        await history.finish(ended(asked), "Yes.", "")
    assert await contents(history) == ["hello", "Yes."]


async def test_messages_stand_in_the_order_of_their_prompts(history: History) -> None:
    """Answers belong behind their prompts, also when a later one is finished first."""
    asked = [exchange(prompt=str(number)) for number in range(5)]
    for each in asked:
        await history.admit(each)
    for each in reversed(asked):
        await history.finish(ended(each), f"to {each.prompt.content}", "")
    assert await contents(history) == [text for n in range(5) for text in (str(n), f"to {n}")]


async def test_the_order_does_not_depend_on_the_clock(history: History) -> None:
    """A clock that was set back moves no message."""
    later, earlier = exchange(prompt="first"), exchange(prompt="second")
    later.prompt.created_at, earlier.prompt.created_at = earlier.prompt.created_at, later.prompt.created_at
    await history.admit(later)
    await history.admit(earlier)
    assert await contents(history) == ["first", "", "second", ""]


async def test_prompts_that_come_at_once_are_all_kept(history: History) -> None:
    """Many sessions together: nothing is lost, and nothing gets into another session."""
    await asyncio.gather(*(history.admit(exchange(f"s{n % 10}", prompt=f"{n % 10}/{n}")) for n in range(60)))
    for n in range(10):
        said = [text for text in await contents(history, f"s{n}") if text]
        assert len(said) == 6
        assert {text.partition("/")[0] for text in said} == {str(n)}


async def test_messages_are_the_callers_to_change(history: History) -> None:
    """What a caller does to them does not come back."""
    await history.admit(exchange())
    (await history.messages(OWNER, "s"))[0].content = "changed"
    (await history.conversation(OWNER, "s")).messages.clear()
    assert await contents(history) == ["hello", ""]


@pytest.mark.parametrize("text", ["🌊 ünïcödé 水\n\t'\";--", "x" * 300_000, " \r\n ", "%_\\/"])
async def test_any_text_is_kept_as_it_is(history: History, text: str) -> None:
    """Prompts and answers come back to the letter."""
    asked = exchange(prompt=text)
    await history.admit(asked)
    await history.finish(ended(asked), text, text)
    assert await contents(history) == [text, text]


# ---- branches ------------------------------------------------------------------------------------------------


async def places(history: History) -> dict[str, str | None]:
    """Which message each message follows."""
    return {message.message_id: message.parent_id for message in await history.messages(OWNER, "s")}


async def test_a_message_follows_the_one_that_it_names(history: History) -> None:
    """Its prompt is followed by its answer; without a parent it begins a branch of its own."""
    first = exchange()
    await history.admit(first)
    edited, second = exchange(), exchange(parent_id=first.answer.message_id)
    for each in (edited, second):
        await history.admit(each)
    assert await places(history) == {
        first.prompt.message_id: None,
        first.answer.message_id: first.prompt.message_id,
        edited.prompt.message_id: None,
        edited.answer.message_id: edited.prompt.message_id,
        second.prompt.message_id: first.answer.message_id,
        second.answer.message_id: second.prompt.message_id,
    }


async def test_what_would_follow_a_lost_message_follows_the_newest(history: History) -> None:
    """The message was withdrawn meanwhile, or is one of another session."""
    first, elsewhere = exchange(), exchange("other")
    for each in (first, elsewhere):
        await history.admit(each)
    stray = exchange(parent_id=elsewhere.answer.message_id)
    await history.admit(stray)
    assert (await places(history))[stray.prompt.message_id] == first.answer.message_id


async def test_an_admission_tells_what_the_newest_message_was(history: History) -> None:
    """There is none in a session that did not exist, and none for anybody else."""
    first, second, third = (exchange(follows_newest=True) for _ in range(3))
    assert await history.admit(first) == Admission()
    assert (await history.admit(second)).newest == first.answer.message_id
    await history.discard(second.stream.stream_id)
    assert (await history.admit(third)).newest == first.answer.message_id
    found = await places(history)
    assert found[third.prompt.message_id] == first.answer.message_id
    assert found[first.prompt.message_id] is None
    with pytest.raises(SessionNotFound):
        await history.admit(exchange(owner=OTHER))


async def test_a_regenerated_answer_is_a_sibling(history: History) -> None:
    """It follows the same prompt, which is not said again."""
    asked = exchange()
    await history.admit(asked)
    await history.finish(ended(asked), "one", "")
    again = regenerated(asked)
    await history.admit(again)
    await history.finish(ended(again), "two", "")
    assert await contents(history) == ["hello", "one", "two"]
    assert (await places(history))[again.answer.message_id] == asked.prompt.message_id
    await history.discard(again.stream.stream_id)
    assert await contents(history) == ["hello", "one"]


async def test_what_followed_a_dropped_exchange_stays_in_the_conversation(history: History) -> None:
    """It follows what that followed, at once and on disk."""
    first = exchange()
    dropped = exchange(parent_id=first.answer.message_id)
    later = exchange(parent_id=dropped.answer.message_id)
    for each in (first, dropped, later):
        await history.admit(each)
    await history.finish(ended(dropped, Outcome.SUPERSEDED), "partial", "")
    await history.discard(dropped.stream.stream_id)
    assert (await places(history))[later.prompt.message_id] == first.answer.message_id
    await history.sessions(OWNER)  # by then it is on disk
    assert (await places(history))[later.prompt.message_id] == first.answer.message_id


async def test_nothing_is_regenerated_in_a_session_that_is_gone(history: History) -> None:
    """It does not come back into being."""
    asked = exchange()
    await history.admit(asked)
    await history.delete(OWNER, "s")
    with pytest.raises(SessionNotFound):
        await history.admit(regenerated(asked))
    assert await history.check(OWNER, "s") is False


# ---- continued answers ---------------------------------------------------------------------------------------


async def broken_off(history: History) -> tuple[Exchange, Message]:
    """An answer that was stopped in the middle."""
    asked = exchange()
    await history.admit(asked)
    await history.finish(ended(asked, Outcome.STOPPED, finish_reason=None), "half", "Hm.")
    return asked, (await history.messages(OWNER, "s"))[-1]


async def test_a_continued_answer_keeps_what_it_has(history: History) -> None:
    """While it is written, and at its end it has the outcome and the figures of the stream that ended it."""
    asked, before = await broken_off(history)
    again = continued(asked, before)
    await history.admit(again)
    answer = (await history.messages(OWNER, "s"))[-1]
    assert (answer.content, answer.reasoning, answer.outcome) == ("half", "Hm.", None)
    assert answer.stream_id == again.stream.stream_id
    state = ended(again, tokens=9)
    await history.finish(state, "half and half", "Hm.")
    answer = (await history.messages(OWNER, "s"))[-1]
    assert (answer.content, answer.outcome, answer.finish_reason) == ("half and half", "complete", "stop")
    assert (answer.tokens, answer.message_id) == (9, before.message_id)
    assert await contents(history) == ["hello", "half and half"]
    assert await history.stream(OWNER, again.stream.stream_id) == state
    assert (await history.stream(OWNER, asked.stream.stream_id)).outcome == "stopped"


async def test_only_one_stream_goes_on_with_an_answer(history: History) -> None:
    """The second comes too late, whoever admits it, and leaves no trace."""
    asked, before = await broken_off(history)
    rivals = [continued(asked, before) for _ in range(2)]
    outcomes = await asyncio.gather(*map(history.admit, rivals), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Admission, AnswerMoved]
    assert (await history.messages(OWNER, "s"))[-1].stream_id == rivals[0].stream.stream_id
    with pytest.raises(StreamNotFound):
        await history.stream(OWNER, rivals[1].stream.stream_id)


@pytest.mark.parametrize("which", ["stream", "newest"])
async def test_what_its_user_stopped_after_its_end(history: History, which: str) -> None:
    """The server cannot continue it by itself, its user can."""
    asked = exchange()
    await history.admit(asked)
    await history.finish(ended(asked, Outcome.INTERRUPTED), "half", "")
    await history.halt("s", asked.stream.stream_id if which == "stream" else None)
    answer = (await history.messages(OWNER, "s"))[-1]
    by_itself = msgspec.structs.replace(continued(asked, answer), unasked=True)
    with pytest.raises(CannotContinue):
        await history.admit(by_itself)
    with pytest.raises(StreamNotFound):
        await history.stream(OWNER, by_itself.stream.stream_id)
    again = continued(asked, answer)
    await history.admit(again)
    assert (await history.messages(OWNER, "s"))[-1].stream_id == again.stream.stream_id


async def test_what_its_user_stopped_just_before_its_end(history: History) -> None:
    """The end comes afterwards. The other answers of the session are not meant."""
    asked, other = exchange(), exchange()
    for each in (asked, other):
        await history.admit(each)
    await history.halt("s", asked.stream.stream_id)
    for each in (asked, other):
        await history.finish(ended(each, Outcome.INTERRUPTED), "half", "")
    first, second = [message for message in await history.messages(OWNER, "s") if message.role == "assistant"]
    with pytest.raises(CannotContinue):
        await history.admit(msgspec.structs.replace(continued(asked, first), unasked=True))
    await history.admit(msgspec.structs.replace(continued(other, second), unasked=True))


async def test_a_stop_halts_nothing_that_ended_otherwise(history: History) -> None:
    """Neither an answer that is complete, nor a session without any, nor one that does not exist."""
    asked = exchange()
    await history.admit(asked)
    await history.halt("s")
    await history.finish(ended(asked, Outcome.STOPPED), "half", "")
    await history.halt("s")
    await history.halt("none")
    answer = (await history.messages(OWNER, "s"))[-1]
    await history.admit(msgspec.structs.replace(continued(asked, answer), unasked=True))


async def test_a_withdrawn_continuation_gives_the_answer_back(history: History) -> None:
    """It is as it was, to the last figure, and can be continued."""
    asked, before = await broken_off(history)
    again = continued(asked, before)
    await history.admit(again)
    await history.withdraw(again.stream.stream_id)
    assert (await history.messages(OWNER, "s"))[-1] == before
    await history.admit(continued(asked, before))


async def test_a_discarded_continuation_leaves_the_answer_as_it_was(history: History) -> None:
    """At once and on disk; the state of its stream stays known."""
    asked, before = await broken_off(history)
    again = continued(asked, before)
    await history.admit(again)
    state = ended(again, Outcome.SUPERSEDED)
    await history.finish(state, before.content, before.reasoning)
    await history.discard(again.stream.stream_id)
    assert (await history.messages(OWNER, "s"))[-1] == before
    await history.sessions(OWNER)  # by then it is on disk
    assert (await history.messages(OWNER, "s"))[-1] == before
    assert await history.stream(OWNER, again.stream.stream_id) == state


async def test_a_stream_that_lost_its_answer_does_not_write_it(history: History) -> None:
    """What it says at its end comes too late: another one has gone on."""
    asked, before = await broken_off(history)
    again = continued(asked, before)
    await history.admit(again)
    await history.finish(ended(asked), "too late", "")
    await history.admit(exchange("other"))  # by then what came before it is on disk
    assert (await history.messages(OWNER, "s"))[-1].content == "half"


# ---- images --------------------------------------------------------------------------------------------------


def with_images(*pictures: ImageData, **more: Any) -> Exchange:
    """A prompt with images."""
    asked = exchange(pictures=pictures, **more)
    asked.prompt.images = [
        Image(f"{asked.prompt.message_id}-{number}", picture.media_type, len(picture.data))
        for number, picture in enumerate(pictures)
    ]
    return asked


async def test_images_are_kept_with_their_prompt(history: History) -> None:
    """In their order, byte for byte, for its owner alone."""
    pictures = [ImageData("image/png", bytes(range(256)) * 400), ImageData("image/gif", b"GIF")]
    asked = with_images(*pictures)
    await history.admit(asked)
    prompt, answer = await history.messages(OWNER, "s")
    assert (prompt.images, answer.images) == (asked.prompt.images, [])
    assert [await history.image(OWNER, image.image_id) for image in prompt.images] == pictures
    for owner, image_id in ((OTHER, prompt.images[0].image_id), (OWNER, "unknown")):
        with pytest.raises(ImageNotFound):
            await history.image(owner, image_id)


async def test_images_go_with_their_prompt(history: History) -> None:
    """Discarded, withdrawn or deleted: no byte stays. Another answer to the prompt does not say them again."""
    kept, discarded, withdrawn = (with_images(ImageData("image/gif", b"GIF")) for _ in range(3))
    for each in (kept, discarded, withdrawn):
        await history.admit(each)
    await history.admit(regenerated(kept))
    await history.discard(discarded.stream.stream_id)
    await history.withdraw(withdrawn.stream.stream_id)
    await history.sessions(OWNER)  # by then it is on disk
    for gone in (discarded, withdrawn):
        with pytest.raises(ImageNotFound):
            await history.image(OWNER, gone.prompt.images[0].image_id)
    assert (await history.image(OWNER, kept.prompt.images[0].image_id)).data == b"GIF"
    await history.delete(OWNER, "s")
    with pytest.raises(ImageNotFound):
        await history.image(OWNER, kept.prompt.images[0].image_id)


# ---- options -------------------------------------------------------------------------------------------------


async def test_a_session_keeps_its_options(history: History) -> None:
    """Those that come with a prompt to be remembered, and those that are set later."""
    asked = exchange()
    await history.admit(asked)
    assert (await history.session(OWNER, "s")).options == Options()
    chosen = Options(system="Be \0 brief. 水", temperature=0.5)
    await history.admit(exchange(remember=chosen))
    assert (await history.conversation(OWNER, "s")).info.options == chosen
    assert (await history.admit(exchange())).options == chosen
    assert (await history.sessions(OWNER)).sessions[0].options == chosen
    assert (await history.configure(OWNER, "s", Options(seed=1))).options == Options(seed=1)
    with pytest.raises(SessionNotFound):
        await history.configure(OTHER, "s", chosen)


async def test_words_of_model_servers_that_no_database_stores(history: History) -> None:
    """A name, a reason and an error: each has a sign in the place of NUL."""
    asked = exchange()
    named = msgspec.structs.replace(asked, stream=msgspec.structs.replace(asked.stream, model="a\0b"))
    await history.admit(named)
    problem = Problem("c\0d", "It broke\0.")
    await history.finish(ended(named, Outcome.FAILED, finish_reason="e\0f", error=problem), "", "")
    await history.admit(exchange("t"))
    assert [message.content for message in await history.messages(OWNER, "t")] == ["hello", ""]


# ---- taking back ---------------------------------------------------------------------------------------------


async def test_a_discarded_exchange_leaves_the_conversation(history: History) -> None:
    """Its messages are gone at once; the state of its stream stays known."""
    kept, dropped = exchange(prompt="kept"), exchange(prompt="dropped")
    for each in (kept, dropped):
        await history.admit(each)
    state = ended(dropped, Outcome.SUPERSEDED)
    await history.finish(state, "partial", "")
    await history.discard(state.stream_id)
    assert await contents(history) == ["kept", ""]
    assert await history.stream(OWNER, state.stream_id) == state


async def test_a_withdrawn_prompt_was_never_there(history: History) -> None:
    """Its messages, its stream and its key are gone, and its session if it was the first."""
    asked = exchange(key="k", request_hash="h")
    await history.admit(asked)
    await history.withdraw(asked.stream.stream_id)
    assert await history.check(OWNER, "s") is False
    with pytest.raises(StreamNotFound):
        await history.stream(OWNER, asked.stream.stream_id)
    assert await titles(history) == []
    await history.admit(exchange(prompt="again", key="k", request_hash="h"))
    assert await contents(history) == ["again", ""]


async def test_a_session_outlives_a_withdrawn_prompt(history: History) -> None:
    """Only what was withdrawn is gone."""
    await history.admit(exchange(prompt="first"))
    asked = exchange(prompt="second")
    await history.admit(asked)
    await history.withdraw(asked.stream.stream_id)
    assert await contents(history) == ["first", ""]


async def test_to_withdraw_from_a_deleted_session_is_nothing(history: History) -> None:
    """The delete came first."""
    asked = exchange()
    await history.admit(asked)
    await history.delete(OWNER, "s")
    await history.withdraw(asked.stream.stream_id)
    assert await history.check(OWNER, "s") is False


async def test_a_deleted_session_is_gone(history: History) -> None:
    """With its messages, streams and keys; its name is free for anybody."""
    asked = exchange(key="k", request_hash="h")
    await history.admit(asked)
    await history.finish(ended(asked), "secret", "")
    await history.delete(OWNER, "s")
    assert await history.check(OWNER, "s") is False
    for call in (history.session, history.messages, history.conversation, history.delete):
        with pytest.raises(SessionNotFound):
            await call(OWNER, "s")
    with pytest.raises(StreamNotFound):
        await history.stream(OWNER, asked.stream.stream_id)
    assert await titles(history, "secret") == []
    await history.admit(exchange(owner=OTHER, key="k", request_hash="other"))
    assert await history.known_key(OTHER, "s", "k") != KnownKey(asked.stream.stream_id, "h")


async def test_an_answer_that_ends_after_its_session_is_not_kept(history: History) -> None:
    """Finishing and discarding what was deleted does nothing, also if the id has come to a new session."""
    asked = exchange(prompt="old")
    await history.admit(asked)
    await history.delete(OWNER, "s")
    await history.admit(exchange(prompt="new"))
    await history.finish(ended(asked), "late", "")
    await history.discard(asked.stream.stream_id)
    assert await contents(history) == ["new", ""]
    assert await titles(history, "late") == []


# ---- what runs -----------------------------------------------------------------------------------------------


async def test_what_runs_in_a_session(history: History) -> None:
    """Its streams that have not ended, in their order, at once."""
    assert await history.running(OWNER, "s") == []
    first, second = exchange(prompt="one"), exchange(prompt="two")
    await history.admit(first)
    await history.admit(second)
    await history.admit(exchange("other"))
    assert await history.running(OWNER, "s") == [first.stream.stream_id, second.stream.stream_id]
    assert await history.running(OTHER, "s") == []
    await history.finish(ended(first), "done", "")
    assert await history.running(OWNER, "s") == [second.stream.stream_id]
    await history.delete(OWNER, "s")
    assert await history.running(OWNER, "s") == []


# ---- keys ----------------------------------------------------------------------------------------------------


async def test_a_key_names_its_stream_in_its_session_alone(history: History) -> None:
    """The same key in another session is another key."""
    asked = exchange(key="k", request_hash="h")
    await history.admit(asked)
    await history.admit(exchange("other"))
    assert await history.known_key(OWNER, "s", "k") == KnownKey(asked.stream.stream_id, "h")
    assert await history.known_key(OWNER, "s", "unknown") is None
    assert await history.known_key(OWNER, "other", "k") is None
    assert await history.known_key(OWNER, "nowhere", "k") is None


async def test_a_known_key_admits_nothing(history: History) -> None:
    """The admission names the first registration, whatever else the second request says."""
    asked = exchange(key="k", request_hash="h")
    await history.admit(asked)
    before = await history.conversation(OWNER, "s")
    again = exchange(prompt="again", key="k", request_hash="other")
    assert await history.admit(again) == Admission(known=KnownKey(asked.stream.stream_id, "h"))
    assert await history.conversation(OWNER, "s") == before
    with pytest.raises(StreamNotFound):
        await history.stream(OWNER, again.stream.stream_id)
    with pytest.raises(SessionNotFound):
        await history.admit(exchange(owner=OTHER, key="k", request_hash="h"))
    await history.withdraw(asked.stream.stream_id)
    assert await history.admit(again) == Admission()


# ---- owners --------------------------------------------------------------------------------------------------


async def test_to_others_a_session_does_not_exist(history: History) -> None:
    """Whoever asks, reads or writes as somebody else is told that there is no such session."""
    asked = exchange(key="k", request_hash="h")
    await history.admit(asked)
    with pytest.raises(SessionNotFound):
        await history.check(OTHER, "s")
    with pytest.raises(SessionNotFound):
        await history.known_key(OTHER, "s", "k")
    with pytest.raises(StreamNotFound):
        await history.stream(OTHER, asked.stream.stream_id)
    for call in (history.session, history.messages, history.conversation, history.delete):
        with pytest.raises(SessionNotFound):
            await call(OTHER, "s")
    with pytest.raises(SessionNotFound):
        await history.rename(OTHER, "s", "mine now")
    assert (await history.sessions(OTHER)).sessions == []
    assert await titles(history) == ["hello"]


async def test_nobody_writes_into_a_session_of_others(history: History) -> None:
    """A prompt for it is refused, and leaves no trace."""
    await history.admit(exchange(prompt="mine"))
    intruder = exchange(prompt="yours", owner=OTHER)
    with pytest.raises(SessionNotFound):
        await history.admit(intruder)
    assert await contents(history) == ["mine", ""]
    with pytest.raises(StreamNotFound):
        await history.stream(OTHER, intruder.stream.stream_id)


# ---- the list ------------------------------------------------------------------------------------------------


async def test_the_list_is_newest_first_and_paged(history: History) -> None:
    """A newer prompt or answer takes a session to the top; the pages together are the whole list, once."""
    for n in range(7):
        await history.admit(exchange(f"s{n}", prompt=f"title {n}"))
    again = exchange("s0", prompt="again")
    await history.admit(again)
    asked = [f"title {n}" for n in (0, 6, 5, 4, 3, 2, 1)]
    seen: list[str] = []
    after = None
    for size in (3, 3, 1):
        page = await history.sessions(OWNER, after=after, limit=3)
        assert len(page.sessions) == size
        seen += [info.title for info in page.sessions]
        after = page.next
    assert (seen, after) == (asked, None)


async def test_a_finished_answer_takes_its_session_to_the_top(history: History) -> None:
    """Its end is the newest thing that happened, and the list knows it at once."""
    old, new = exchange("old", prompt="old"), exchange("new", prompt="new")
    await history.admit(old)
    await history.admit(new)
    await history.finish(ended(old), "done", "")
    assert await titles(history) == ["old", "new"]


async def test_a_long_prompt_gives_a_title_with_an_ellipsis(history: History) -> None:
    """In the place of the last character that has room; spaces in front of it are left out."""
    prompts = ["x" * 80, "y" * 81, "z" * 78 + " and more", " one\n\ttwo "]
    for number, prompt in enumerate(prompts):
        await history.admit(exchange(f"s{number}", prompt=prompt))
    assert sorted(await titles(history)) == ["one two", "x" * 80, "y" * 79 + "…", "z" * 78 + "…"]


async def test_a_search_finds_titles_and_messages(history: History) -> None:
    """In upper or lower case, in prompts and in answers, at once."""
    first, second = exchange("a", prompt="The Wheel"), exchange("b", prompt="The river")
    await history.admit(first)
    await history.admit(second)
    await history.finish(ended(second), "It turns the WHEEL, übrigens. Ärger?", "")
    assert sorted(await titles(history, "wheel")) == ["The Wheel", "The river"]
    assert await titles(history, "RIVER") == ["The river"]
    assert await titles(history, "ÜBRIGENS. ärg") == ["The river"]
    assert await titles(history, "sea") == []


async def test_a_search_is_for_all_of_its_words(history: History) -> None:
    """In any order, each in the title or in any message, also as a part of a longer word."""
    one = exchange("one", prompt="hello")
    await history.admit(one)
    await history.finish(ended(one), "There is nothing Größeres.", "")
    await history.rename(OWNER, "one", "A wheel")
    await history.admit(exchange("two", prompt="hello, wheel"))
    for query in ("thing hello", "  größ\tTHERE ", "hello wheel größeres", "there is nothing"):
        assert await titles(history, query) == ["A wheel"], query
    assert len(await titles(history, "wheel hello")) == 2
    assert await titles(history, "hello nowhere") == []


async def test_a_search_has_a_bound_in_words(history: History) -> None:
    """What comes after the eighth word is not looked for."""
    await history.admit(exchange(prompt="a b c d e f g h"))
    assert await titles(history, "a b c d e f g h nowhere") == ["a b c d e f g h"]
    assert await titles(history, "a b c d e f g nowhere") == []


@pytest.mark.parametrize("query", ["%", "_", "\\", "/", "'", "100%", "a_b"])
async def test_a_search_is_for_the_very_characters(history: History, query: str) -> None:
    """What means something to a database means itself."""
    await history.admit(exchange("plain", prompt="100 aab"))
    assert await titles(history, query) == []
    await history.admit(exchange("special", prompt="100% a_b \\ / '"))
    assert await titles(history, query) == ["100% a_b \\ / '"]


STRANGE = ["\0", "a\0b", "\ud800", "%\udfff", "", " ", "'; --", "\\%\\", "x" * 10_000]
LONG = ["%" * 100_000, "_%" * 50_000, "\\" * 100_001, "x" * 1_000_000]  # patterns cost what a text costs


@pytest.mark.parametrize(
    "text",
    STRANGE + LONG,
    ids=[*(ascii(each)[:20] for each in STRANGE), "percent", "both", "backslash", "long"],
)
async def test_strange_questions_have_ordinary_answers(history: History, text: str) -> None:
    """No query and no cursor upsets the list."""
    await history.admit(exchange())
    assert len((await history.sessions(OWNER, query=text)).sessions) <= 1
    assert len((await history.sessions(OWNER, after=text)).sessions) <= 1


async def test_a_session_gets_another_title(history: History) -> None:
    """And keeps it."""
    await history.admit(exchange())
    assert (await history.rename(OWNER, "s", "better")).title == "better"
    assert await titles(history) == ["better"]
    await history.admit(exchange(prompt="second"))
    assert (await history.session(OWNER, "s")).title == "better"
    with pytest.raises(SessionNotFound):
        await history.rename(OWNER, "nowhere", "x")
