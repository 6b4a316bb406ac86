"""What a node has of its sessions: their logs and their history, and what it does with those of an earlier owner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from app.chat.errors import (
    Fenced,
    LeaseLost,
    MessageNotFound,
    Refused,
    SessionNotFound,
    StreamNotFound,
)
from app.chat.ports import Catalog, Kind, Logger
from app.chat.records import Seen, StreamState, Unfinished
from app.chat.scoped_ids import owner_of
from app.chat.states import Status
from app.cluster.ownership import Ownership
from app.cluster.ports import Lease, Settled
from app.config.settings import Settings
from app.history.fence import Fence
from app.history.sql import SqlHistory
from app.log.answer_view import AnswerView
from app.log.entries import Begun, End, Entry, Event, Prompt, Start, end_of
from app.log.session_log import SessionLog
from app.log.shared.hints import RedisHints
from app.log.shared.settling import GoesOn, Tail
from app.log.shared.shared_log import LeaseView
from app.log.shared.shared_logs import SharedLogs, patience_of
from app.nodes.taking_up import Again, candidate, prepared
from app.streams.registry import Registry

REDIS_SECONDS = 2.0  # that a new prompt waits for Redis
MOST_TOLD = 16  # lost streams that a log gets again from the history; beyond, viewers load the snapshot


class LogsMaker(Protocol):
    """Makes the logs of a node; see `SharedLogs`."""

    def __call__(
        self,
        url: str,
        /,
        *,
        max_bytes: int,
        seconds: float,
        logger: Logger,
        on_fenced: Callable[[str], None],
        patience: float,
        lease: LeaseView,
    ) -> SharedLogs:
        """See `SharedLogs`."""
        ...


class Shared:
    """What a node needs before its history is open: the fence of its writes, and the logs of its sessions.

    It is the registry's `Logs`, the `Estate` of the sessions that the node takes, and the `LeaseView` of their logs.
    """

    def __init__(
        self, settings: Settings, logger: Logger, node_id: str, *, logs: LogsMaker = SharedLogs
    ) -> None:
        self.node_id = node_id
        self.fence = Fence()
        self.fence.on_lost = lambda session_id, epoch: self.ownership.fenced(session_id, epoch)
        self.logs = logs(
            settings.redis_url or "",
            max_bytes=settings.log_bytes,
            seconds=settings.log_seconds,
            logger=logger,
            on_fenced=lambda session_id: self.ownership.lose(session_id),
            patience=patience_of(settings.node_ttl),
            lease=self,
        )
        self.hints = RedisHints(self.logs.anywhere, node_id=node_id, logger=logger, publish=self.logs.publish)
        self._again: dict[str, Again] = {}  # by session, from `take` to `go_on`
        self._logger = logger
        # Set by `opened_node`, before anything is owned.
        self.ownership: Ownership
        self.history: SqlHistory
        self.registry: Registry
        self.catalog: Catalog

    def __repr__(self) -> str:
        return f"<Shared {self.node_id} {self.logs!r}>"

    # ---- for the registry ------------------------------------------------------------------------------------

    def of(self, session_id: str) -> SessionLog:
        """See `app.streams.sessions.Logs`."""
        log = self.logs.find(session_id)
        if log is None or not self.ownership.holds(session_id):
            raise LeaseLost
        return log

    def renew(self, session_id: str, deleted: SessionLog) -> None:
        """See `app.streams.sessions.Logs`."""
        self.logs.renew(session_id, deleted)

    async def own(self, session_id: str) -> None:
        """Return once this node owns the session, if its log can take a prompt now. Raises `HistoryUnavailable`."""
        await self.logs.ready(session_id, 0)
        await self.ownership.own(session_id)

    async def prepare(self, session_id: str) -> None:
        """Return once this node owns the session and its log can take a prompt. Raises `HistoryUnavailable`."""
        await self.ready(session_id)
        await self.ownership.own(session_id)

    # ---- for the logs ----------------------------------------------------------------------------------------

    @property
    def is_sure(self) -> bool:
        """See `LeaseView`."""
        return self.ownership.is_sure

    @property
    def is_confirmed(self) -> bool:
        """See `LeaseView`."""
        return self.ownership.is_confirmed

    async def check(self) -> None:
        """See `LeaseView`."""
        await self.ownership.check()

    # ---- for the ownership -----------------------------------------------------------------------------------

    def is_ready(self, session_id: str) -> bool:
        """See `Estate`."""
        return self.logs.is_ready(session_id)

    async def ready(self, session_id: str) -> None:
        """See `Estate`."""
        await self.logs.ready(session_id, REDIS_SECONDS)

    async def take(self, lease: Lease) -> Settled:
        """See `Estate`."""
        settled = Settled()
        is_gone = is_hollow = False

        async def settle(answers: Sequence[AnswerView]) -> list[Event | Tail | GoesOn]:
            nonlocal settled, is_gone, is_hollow
            is_gone = bool(answers) and await self._is_gone(lease.session)
            # The log says what is to be told there. The history may have the ends of a takeover that failed halfway.
            newest = self._newest(lease.session)
            untold = await self.history.unfinished(
                lease.session, after=newest.stream_id if newest is not None else None
            )
            left = [stream for stream in untold if not stream.ended]
            again = await self._to_begin_again(left, answers)
            goes_on = again.stream_id if again is not None else None
            # The disk follows the log: several answers may have ended there that the history still thinks running.
            seen = [_seen(answer, lease.session) for answer in answers if answer.stream_id != goes_on]
            interrupted = await self.history.interrupt(lease.session, left, seen, goes_on=goes_on)
            # An earlier attempt, here or elsewhere, may have ended it in the history, and failed after that.
            is_left = bool(answers) and answers[-1].end is None and answers[-1].stream_id != goes_on
            settled = Settled(max(interrupted, int(is_left)), goes_on)
            if again is not None:
                self._again[lease.session] = again
            is_hollow = len(untold) > MOST_TOLD and goes_on is None
            return await self._missing(lease.session, answers, [] if is_hollow else untold, goes_on)

        try:
            log = await self.logs.open(lease.session, lease.epoch, settle)
        except Fenced as error:
            raise LeaseLost from error
        if is_gone:  # its owner has deleted it, and lost it before it could empty the log
            self.logs.renew(lease.session, log)
        elif is_hollow:
            log.clear()
        return settled

    def _newest(self, session_id: str) -> Entry | None:
        """Return the newest entry of a log that is being opened, if it has any."""
        log = self.logs.find(session_id)
        return log.newest if log is not None else None

    async def _to_begin_again(
        self, left: Sequence[Unfinished], answers: Sequence[AnswerView]
    ) -> Again | None:
        """Return the prompt that goes on here, if there is one and this node has room for it."""
        stream = candidate(left, answers)
        if stream is None:
            return None
        again = await prepared(stream, self.history, self.catalog)
        return again if again is not None and self.registry.has_room(again.ask) else None

    def go_on(self, session_id: str) -> None:
        """See `Estate`."""
        again = self._again.pop(session_id, None)
        if again is None:
            return
        try:
            self.history.take_up(again.exchange)
            self.registry.take_up(again.ask, again.exchange)
        except Refused as error:  # such as a session that has just been lost: its next owner looks after it
            self._logger.warning(
                "stream_not_taken_up", trace=again.stream_id, session=session_id, reason=error.code
            )

    async def _is_gone(self, session_id: str) -> bool:
        try:
            return not await self.history.check(owner_of(session_id), session_id)
        except SessionNotFound:  # it is being deleted
            return True

    async def _missing(
        self,
        session_id: str,
        answers: Sequence[AnswerView],
        left: Sequence[Unfinished],
        goes_on: str | None = None,
    ) -> list[Event | Tail | GoesOn]:
        """Return what a log lacks: each stream has one `start` and one `end` there, and its text in between.

        The stream that `goes_on` writes its own.
        """
        events: list[Event | Tail | GoesOn] = []
        if answers and answers[-1].end is None:
            if answers[-1].stream_id == goes_on:
                events.append(GoesOn(goes_on))
            else:
                events += await self._rest(session_id, answers[-1])
        begun = {answer.stream_id for answer in answers}
        newest = self._newest(session_id)
        for stream in left:
            if stream.stream_id in begun or stream.stream_id == goes_on:
                continue
            if newest is not None and newest.stream_id == stream.stream_id:  # its start was trimmed
                if not isinstance(newest.event, End):
                    events += _end_of(await self._state(session_id, stream.stream_id))
            else:  # streams follow one another: the log never had it, or has lost all of it
                events += await self._whole(stream)
        return events

    async def _whole(self, stream: Unfinished) -> list[Event | Tail | GoesOn]:
        """Return all that is to be told of a stream; nothing of one that was rolled back."""
        start = await self._start(stream)
        if start is None:
            return []
        rest = await self._rest(stream.session_id, AnswerView(start, 0))
        return [start, *rest] if rest and isinstance(rest[-1], End) else []

    async def _rest(self, session_id: str, answer: AnswerView) -> list[Event | Tail | GoesOn]:
        """Return what a log lacks of an answer that has no end there: its last text, and its end."""
        state = await self._state(session_id, answer.stream_id)
        return [] if state is None else [*await self._tail(answer, state), *_end_of(state)]

    async def _state(self, session_id: str, stream_id: str) -> StreamState | None:
        try:
            return await self.history.stream(owner_of(session_id), stream_id)
        except StreamNotFound:
            return None

    async def _tail(self, answer: AnswerView, state: StreamState) -> list[Tail]:
        """Return the text that its owner has stored with the end of an answer, and that the log has lost since."""
        if state.tokens <= answer.tokens and state.reasoning_tokens <= answer.thought_tokens:
            return []
        owner = owner_of(state.session_id)
        try:
            [message] = await self.history.some(owner, state.session_id, [answer.message_id])
        except (MessageNotFound, SessionNotFound, ValueError):
            return []
        tails: list[Tail] = []
        both: tuple[tuple[Kind, str, str, int, int], ...] = (
            ("reasoning", answer.thoughts, message.reasoning, answer.thought_tokens, state.reasoning_tokens),
            ("token", answer.content, message.content, answer.tokens, state.tokens),
        )
        for kind, shown, stored, known, pieces in both:
            if pieces > known and stored.startswith(shown):
                tails.append(Tail(answer.stream_id, kind, known, pieces - known, stored[len(shown) :]))
        return tails

    async def _start(self, stream: Unfinished) -> Start | None:
        """Return the `start` of a stream, `None` if its messages are gone.

        What is stored of a continued answer was there before, as far as a viewer can tell.
        """
        owner, session_id = stream.owner, stream.session_id
        try:
            [answer] = await self.history.some(owner, session_id, [stream.message_id])
            [prompt] = await self.history.some(owner, session_id, [answer.parent_id or ""])
        except (MessageNotFound, SessionNotFound, ValueError):
            return None
        return Start(
            stream_id=stream.stream_id,
            message_id=stream.message_id,
            model=stream.model,
            prompt=Prompt(prompt.message_id, prompt.content, prompt.images),
            parent_id=prompt.parent_id,
            continued=Begun(answer.content, answer.reasoning) if stream.continues is not None else None,
        )

    def works_on(self, session_id: str) -> bool:
        """See `Estate`."""
        return self.history.works_on(session_id)

    def lose(self, session_id: str, epoch: int) -> None:
        """See `Estate`."""
        self._again.pop(session_id, None)
        self.logs.drop(session_id)
        self.history.lose(session_id, epoch)

    async def settle(self) -> None:
        """See `Estate`."""
        await self.history.settle()


def _end_of(state: StreamState | None) -> list[End]:
    """Return the `end` of a stream. Its owner may have stored it before it could show it."""
    return [] if state is None or state.outcome is None else [end_of(state, state.outcome)]


def _seen(answer: AnswerView, session_id: str) -> Seen:
    end = answer.end
    state = None
    if end is not None:
        state = StreamState(
            stream_id=end.stream_id,
            session_id=session_id,
            status=Status.ENDED,
            outcome=end.outcome,
            finish_reason=end.finish_reason,
            model="",
            message_id=end.message_id,
            tokens=end.tokens,
            duration_ms=end.duration_ms,
            ttft_ms=end.ttft_ms,
            thought_ms=end.thought_ms,
            upstream_closed=end.upstream_closed,
            error=end.error,
        )
    return Seen(answer.stream_id, answer.text, answer.reasoning, state)
