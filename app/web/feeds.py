"""What the pages of one session share: its log, followed once, with the blocks of the answer that is being written."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple, Protocol

from app.streams.frames import Frame
from app.streams.ports import Logger
from app.streams.session import Session
from app.streams.stream import Stream
from app.web.event_stream import chunk
from app.web.live_answer import Closed, LiveAnswer
from app.web.page_events import BlockEvent, TailEvent, page_frame, passing, text_of
from app.web.renderer import Renderer

KEPT = 4  # answers whose blocks are kept, for pages that are behind: the running one and those before it


class Follower(Protocol):
    """A page that has shown all there is, and is told what is new."""

    def show(self, news: News) -> None:
        """Show it. Must not raise or wait."""
        ...

    def fail(self, error: Exception) -> None:
        """Something cannot be shown: cut the response, so that the page reads on from its cursor."""
        ...


class News(NamedTuple):
    """What a page that has shown everything shows next."""

    last: int  # the place in the log up to which everything has been shown with it; 0 if it is a block alone
    stream_id: str
    blocks: int  # how many frames of blocks are in it
    data: bytes
    wire: bytes  # the same, as a chunk of a chunked response


class Answer:
    """An answer that the feed knows, with the frames of its blocks."""

    def __init__(self, feed: Feed, stream: Stream, start: int, renderer: Renderer) -> None:
        self.start = start  # the place of its `start` in the log
        self.end: int | None = None  # of its `end`
        self.blocks: list[bytes] = []
        self._feed = feed
        self._ids = (feed.session.session_id, stream.stream_id, stream.answer.message_id)
        self.live = LiveAnswer(renderer, self._closed)
        self.tail = b""  # the frame that opens the last block of a continued answer again
        if stream.base:
            self.live.add(stream.base)
            self.tail = passing("tail", TailEvent(*self._ids, *self.live.open_again))
        self.live.add("".join(stream.texts))

    def _closed(self, closed: Closed) -> None:
        self.blocks.append(passing("block", BlockEvent(*self._ids, *closed)))
        self._feed.announce(self._ids[1], self.blocks[-1])


class Feed:
    """Follows a session's log while any page looks at the session."""

    def __init__(self, session: Session, renderer: Renderer, logger: Logger) -> None:
        self.session = session
        self._logger = logger
        self.answers: OrderedDict[str, Answer] = OrderedDict()  # by stream
        self._renderer = renderer
        self._followers: list[Follower] = []
        self._fresh: list[bytes] | None = (
            None  # frames of blocks that go out before the event that closed them
        )
        for stream in session:
            if stream.started:
                self._begin(stream, (session.log.before(stream.stream_id) or 0) + 1)
        session.log.listen(self._on_frame)

    def __repr__(self) -> str:
        return (
            f"<Feed {self.session.session_id} answers={len(self.answers)} followers={len(self._followers)}>"
        )

    def follow(self, follower: Follower) -> None:
        """Tell `follower` of everything from now on."""
        self._followers = [*self._followers, follower]

    def forget(self, follower: Follower) -> None:
        """Tell it no more. Idempotent."""
        self._followers = [other for other in self._followers if other is not follower]

    def close(self) -> None:
        """Nobody looks any more."""
        self.session.log.forget(self._on_frame)
        for answer in self.answers.values():
            answer.live.close()

    def announce(self, stream_id: str, block: bytes) -> None:
        """A block is ready: pass it on with the event that closed it, or alone if it took longer."""
        if self._fresh is not None:
            self._fresh.append(block)
        else:
            self._tell(News(0, stream_id, 1, block, chunk(block)))

    def _begin(self, stream: Stream, start: int) -> None:
        self.answers[stream.stream_id] = Answer(self, stream, start, self._renderer)
        while len(self.answers) > KEPT:
            self.answers.popitem(last=False)[1].live.close()

    def _on_frame(self, frame: Frame) -> None:
        """Called by the log, synchronously: once for every token."""
        self._fresh = fresh = list[bytes]()
        try:
            self._take(frame)
        except Exception as error:
            # The log calls this, and what fails for a page must not reach it.
            self._logger.error(
                "blocks_failed", trace=frame.stream_id, session=self.session.session_id, exc_info=error
            )
        self._fresh = None
        try:
            news = self._news(frame, fresh)
        except Exception as error:  # noqa: BLE001 - each follower reports it
            for follower in self._followers:
                follower.fail(error)
        else:
            self._tell(news)

    def _news(self, frame: Frame, fresh: list[bytes]) -> News:
        data = page_frame(self.session.session_id, frame)
        if frame.name == "start":
            # The blocks of an answer that goes on have a place only once it is known to go on.
            data = b"".join([data, *self._opening(frame.stream_id), *fresh])
        elif fresh:
            data = b"".join([*fresh, data])
        return News(frame.last, frame.stream_id, len(fresh), data, chunk(data))

    def _take(self, frame: Frame) -> None:
        if frame.name == "start":
            stream = next(stream for stream in self.session if stream.stream_id == frame.stream_id)
            self._begin(stream, frame.last)
        elif frame.name == "token":
            self.answers[frame.stream_id].live.add(text_of(frame))
        elif frame.name == "end":
            answer = self.answers[frame.stream_id]
            answer.end = frame.last
            answer.live.finish()

    def _opening(self, stream_id: str) -> list[bytes]:
        return [answer.tail] if (answer := self.answers.get(stream_id)) else []

    def _tell(self, news: News) -> None:
        for follower in self._followers:
            follower.show(news)


class Feeds:
    """The feeds of all sessions that a page looks at."""

    def __init__(self, renderer: Renderer, logger: Logger) -> None:
        self._renderer = renderer
        self._logger = logger
        self._feeds: dict[Session, tuple[Feed, set[object]]] = {}

    def __repr__(self) -> str:
        return f"<Feeds {[feed for feed, _ in self._feeds.values()]}>"

    def join(self, session: Session, viewer: object) -> Feed:
        """Return the feed of a session, for as long as `viewer` does not leave it."""
        if session not in self._feeds:
            self._feeds[session] = (Feed(session, self._renderer, self._logger), set())
        feed, viewers = self._feeds[session]
        viewers.add(viewer)
        return feed

    def leave(self, session: Session, viewer: object) -> None:
        """`viewer` looks no more; the last one takes the feed along."""
        feed, viewers = self._feeds[session]
        viewers.discard(viewer)
        if not viewers:
            del self._feeds[session]
            feed.close()
