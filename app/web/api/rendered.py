"""`?render=html`: answers with their rendered blocks, as the page shows them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from aiohttp import web

from app.chat.errors import SessionNotFound
from app.log.entries import Entry, ResetReason
from app.streams.session import Session
from app.web.api.shown_messages import ShownMessage
from app.web.app_keys import BASE, BLOCK_CHANNELS, PULSE, REGISTRY
from app.web.blocks.channel import BlockChannel
from app.web.blocks.renderer import Renderer
from app.web.blocks.watch import BlockWatch
from app.web.events.channels import Piece
from app.web.events.viewer import Response, Viewer, view
from app.web.problems import ProblemError


class RenderedMessage(ShownMessage, kw_only=True):
    """A message with its answer rendered. The `blocks` cover the first `end` UTF-16 code units of its text."""

    blocks: list[str] = msgspec.field(default_factory=list)
    end: int = 0
    tail: str = ""  # the source after `end`, of an answer in progress
    thoughts: list[str] | msgspec.UnsetType = msgspec.UNSET  # the blocks of its reasoning; only in HTML pages


async def render_message(
    renderer: Renderer, message: ShownMessage, turn: str, *, thoughts: bool = False
) -> RenderedMessage:
    """Return a message with its answer rendered. Text that arrives during rendering is not included.

    Messages with the same `turn` share one turn at the renderer. With `thoughts`, the reasoning of an answer that has
    ended is rendered too.
    """
    fields = msgspec.structs.asdict(message)
    if thoughts and message.reasoning and message.outcome is not None:
        fields["thoughts"] = (await renderer.document(message.reasoning, turn)).blocks
    if message.role != "assistant" or not message.content:
        return RenderedMessage(**fields)
    if message.outcome is None:
        found = await renderer.opened(message.content, turn)
    else:
        found = await renderer.document(message.content, turn)
    return RenderedMessage(**fields, blocks=found.blocks, end=found.end, tail=found.tail)


def is_asked(request: web.Request) -> bool:
    """Return whether the request has `?render=html`. Raises a 422 for anything else under that name."""
    form = request.query.get("render") if request.query_string else None
    if form not in (None, "html"):
        raise ProblemError(422, "invalid_query", "render must be `html`. Leave it out to get the text alone.")
    return form is not None


class RenderedWatch(BlockWatch):
    """Sends a session, or only the stream `stream_id` up to its `end` and its last block."""

    def __init__(
        self,
        viewer: RenderedViewer,
        session: Session,
        channel: BlockChannel,
        after: int,
        stream_id: str | None,
    ) -> None:
        super().__init__(viewer, session, channel, after)
        self._viewer: RenderedViewer = viewer
        self._stream_id = stream_id
        self._ended = False  # the stream's `end` was sent

    @property
    def is_over(self) -> bool:
        """Whether the stream's `end` and all of its blocks were sent."""
        if not self._ended or self._stream_id is None:
            return False
        answer = self.channel.find(self._stream_id)
        return answer is None or answer.is_complete

    def _encoded(self, entries: Sequence[Entry]) -> bytes:
        if entries and entries[-1].name == "end" and entries[-1].stream_id == self._stream_id:
            self._ended = True
        return super()._encoded(entries)

    def _take(self, piece: Piece) -> None:
        before = self._after
        super()._take(piece)
        if self._stream_id is not None and piece.is_end and piece.stream_id == self._stream_id:
            self._ended = self._ended or self._after > before
            if self.is_over:
                self._viewer.look()

    def _reset(self, reason: ResetReason) -> bytes:
        return self._viewer.reset(self.session.session_id, reason)


class RenderedViewer(Viewer):
    """Serves one session on one response, with rendered answers."""

    def watch_rendered(
        self, session: Session, channel: BlockChannel, after: int, stream_id: str | None
    ) -> None:
        """Send a session's events after sequence number `after`; only those of `stream_id` if given."""
        self._watch(RenderedWatch(self, session, channel, after, stream_id))

    @property
    def _is_over(self) -> bool:
        return super()._is_over or all(
            isinstance(watch, RenderedWatch) and watch.is_over for watch in self._watches
        )


async def show(
    request: web.Request, response: Response, session: Session, after: int, stream_id: str | None = None
) -> web.StreamResponse:
    """Respond with a session's events after sequence number `after`, rendered if the request asks for it.

    Only those of `stream_id` if given. Raises `SessionNotFound` if the session was deleted meanwhile.
    """
    if not is_asked(request):
        return await view(request, response, session, after, stream_id)
    viewer = RenderedViewer(response, request.app[PULSE], request.app[BASE])
    channels = request.app[BLOCK_CHANNELS][response.media_type]
    channel = channels.join(session, viewer)
    try:
        await channel.recall(after)
        if request.app[REGISTRY].find(session.session_id) is not session and not response.prepared:
            raise SessionNotFound
        viewer.watch_rendered(session, channel, after, stream_id)
        return await viewer.serve(request)
    finally:
        channels.leave(session, viewer)
