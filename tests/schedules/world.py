"""One run of one scenario: the heart, what happens to it from outside, and who watches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from itertools import count
from typing import Any, Literal, NamedTuple

from app.chat.states import IfActive
from app.chat.submission import Submission
from app.streams.registry import Registered
from app.web.events.channels import Channels, sse_channel
from app.web.events.viewer import Viewer
from tests.schedules import conversation
from tests.schedules.choices import Chooser
from tests.schedules.heart import Heart, HeartMaker, LiveSession, ProductHeart, viewable
from tests.schedules.histories import FullHistory
from tests.schedules.invariants import Invariants, Life, Violation
from tests.schedules.loop import VirtualLoop
from tests.schedules.operations import How
from tests.schedules.scenario import Scenario
from tests.schedules.tabs import Tab, ViewerType
from tests.schedules.upstream import MODEL, Answer, Behaviour, Step, Upstream
from tests.support.recorder import Recorder

OWNER = "owner"
MOST_STEPS = 4000
MOST_SECONDS = 3000.0  # of virtual time: by then every bound and every grace has passed
HORIZON = 15.0  # s; only when nothing else can happen does more than this pass


class Subject(NamedTuple):
    """What is on trial: a registry and a viewer, the product's own unless said otherwise."""

    heart: HeartMaker = ProductHeart
    viewer: ViewerType = Viewer


PRODUCT = Subject()


class World:
    """Implements what operations need, chooses what happens next, and ends everything in the end."""

    def __init__(self, scenario: Scenario, chooser: Chooser, subject: Subject = PRODUCT) -> None:
        self.story: list[str] = []  # what happened from outside, in order
        self._chooser = chooser
        self._viewer = subject.viewer
        self._lanes = [list(lane) for lane in scenario.lanes]
        # What asyncio.AbstractEventLoop asks for beyond this is I/O.
        self._loop = VirtualLoop()  # type: ignore[abstract]
        self._recorder = Recorder()
        self._watch = Invariants(self._loop, self._recorder, scenario.bounds, scenario.answers)
        self._session_ids = ""
        self._upstreams: list[Upstream] = []
        self._handlers: dict[str, asyncio.Task[Any]] = {}
        self._posts: dict[str, asyncio.Task[Any]] = {}  # not yet looked at
        self._others: list[asyncio.Task[Any]] = []
        self._tabs: dict[str, Tab] = {}
        self._channels = Channels(sse_channel)
        ids = count(1)
        self._history = scenario.history()
        self._heart: Heart = subject.heart(
            history=self._history,
            bounds=scenario.bounds,
            logger=self._recorder,
            new_id=lambda: f"id{next(ids)}",
            answers=scenario.answers,
        )

    # ---- the run ---------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Let everything happen, in the order of the chooser. Raises `Violation`."""
        with self._loop.running():
            try:
                while self._choose():
                    self._look()
                self._look()
                self._end()
            finally:
                self._loop.tear_down(self._let_go, most_steps=MOST_STEPS)
        if self._watch.violation is not None:
            raise self._watch.violation

    def _look(self) -> None:
        self._watch.look(self._heart, self._session_ids)
        for label, handler in list(self._posts.items()):
            if handler.done():
                del self._posts[label]
                self._watch.answered(label, handler)
        if self._watch.violation is not None:
            raise self._watch.violation

    def _choose(self) -> bool:
        """Take one step: a callback, something from outside, or time. Tell whether there was one."""
        ready = self._loop.ready()
        steps = self._steps()
        if not ready:
            self._watch.at_rest()
        timer = self._time_may_pass(bool(ready or steps))
        options = len(ready) + len(steps) + timer
        if not options:
            return False
        choice = self._chooser.choose(options, 1 if ready else max(1, len(steps)))
        if ready:
            if choice == 0:
                self._loop.run(0)
                return True
            choice -= 1
        if choice < len(steps):
            self._do(steps[choice])
        elif choice == len(steps) and timer:
            self._pass_time()
        else:
            self._loop.run(choice - len(steps) - timer + 1)
        return True

    def _do(self, step: Step) -> None:
        self.story.append(step.label)
        step.do()

    def _pass_time(self) -> None:
        before = self._loop.time()
        self._loop.pass_time()
        if (passed := self._loop.time() - before) > 0:
            self.story.append(f"{passed:g} s pass")
        if self._loop.time() > MOST_SECONDS or len(self._chooser.chosen) > MOST_STEPS:
            self._watch.violate(2, f"nothing ends: {self._running()} after {self._loop.time():g} s")

    def _steps(self) -> list[Step]:
        steps = [
            Step(str(lane[0]), lambda lane=lane: lane.pop(0).happen(self))  # type: ignore[misc]
            for lane in self._lanes
            if lane and lane[0].possible(self)
        ]
        for answer in self._answers():
            steps += answer.steps()
        return steps

    def _answers(self) -> Iterator[Answer]:
        for upstream in self._upstreams:
            yield from upstream.answers

    def _time_may_pass(self, otherwise: bool) -> bool:
        timers = self._loop.timers()
        if not timers:
            return False
        return timers[0][0] <= self._loop.time() + HORIZON if otherwise else not self._settled()

    def _settled(self) -> bool:
        return not (self._running() or self._posts or any(not task.done() for task in self._others))

    def _running(self) -> list[Any]:
        return [stream for book in self._watch.books.values() for stream in book.session]

    # ---- the end ---------------------------------------------------------------------------------------------

    def _end(self) -> None:
        """Everybody reads on and behaves at last; then the server closes, and nothing may be left."""
        for tab in self._tabs.values():
            tab.resume()
        self._drain()
        self._watch.no_crash()
        for tab in self._tabs.values():
            # The bound of a shutdown may pass while the loop is late; then a viewer is sent away before the end.
            if not (tab.over and self._loop.starved):
                tab.at_the_end()
            gone = self._watch.allowed.closed or self._heart.find(tab.session.session_id) is not tab.session
            if gone and not (tab.over or tab.left):
                self._watch.violate(8, f"{tab.name} is still served, and its session is gone")
        self._end_zombies()
        self._watch.at_rest()
        self._ask_the_history()
        closing = self._handle(self._heart.close(), "close")
        self._drain()
        for tab in self._tabs.values():
            tab.leave(cancelled=True)
        self._drain()
        self._watch.no_crash()
        self._watch.finish()
        if not closing.done():
            self._watch.violate(8, "the registry does not close")
        self._history.close()
        self._nothing_left()

    def _ask_the_history(self) -> None:
        for life in list(self._watch.remembered(self._heart)):
            reading = self._handle(self._history.stream(OWNER, life.stream_id), f"read {life.label}")
            self._drain()
            self._watch.kept(life, reading)
        if self._heart.remembers:
            self._watch.admitted(self._history.admitted)
            if not (self._watch.allowed.cut or isinstance(self._history, FullHistory)):
                self._look_at_conversations()

    def _look_at_conversations(self) -> None:
        for session_id in set(self._session_ids) - self._watch.allowed.deleted:
            reading = self._handle(self._history.messages(OWNER, session_id), f"read {session_id}")
            self._drain()
            if reading.exception() is None:
                lives = sorted(
                    (life for life in self._watch.lives.values() if life.session_id == session_id),
                    key=lambda life: life.order,
                )
                for fault in conversation.faults(self._history, lives, reading.result()):
                    self._watch.violate(9, fault)

    def _end_zombies(self) -> None:
        stuck = [task.get_name() for task in self._loop.tasks() if task.get_name().startswith("producer")]
        if len(stuck) != self._heart.zombies():
            self._watch.violate(8, f"{self._heart.zombies()} zombies are counted, there are {stuck}")
        for _ in range(4):  # a word, the end, the closing, and one to be sure
            for answer in self._answers():
                answer.relent()
            self._drain()
        if self._heart.zombies():
            self._watch.violate(8, f"{self._heart.zombies()} zombies are counted after the last has ended")

    def _nothing_left(self) -> None:
        for answer in self._answers():
            if answer.is_open:
                self._watch.violate(8, f"the connection of {answer.label} is still open")
        for task in self._loop.tasks():
            self._watch.violate(8, f"a task is left: {task.get_name()}")
        for _, _, timer in self._loop.timers():
            if not timer.cancelled() and "Answer." not in repr(timer):
                self._watch.violate(8, f"a timer is left: {timer}")
        if self._heart.in_line():
            self._watch.violate(8, f"{self._heart.in_line()} tickets of the line are left")
        for book in self._watch.books.values():
            listeners = getattr(book.session.log, "listeners", 1)
            if listeners != 1:
                self._watch.violate(8, f"{listeners - 1} readers of a log are left")

    def _let_go(self) -> None:
        for answer in self._answers():
            answer.abort()
            answer.relent()

    def _drain(self) -> None:
        """Run what is ready, as asyncio would, until nothing is."""
        for _ in range(MOST_STEPS):
            if not self._loop.ready():
                return
            self._loop.run(0)
            self._watch.look(self._heart, self._session_ids)
        self._watch.violate(0, "callbacks without end")

    # ---- what operations do ----------------------------------------------------------------------------------

    def _handle(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run `work` as a request handler would."""
        task = self._loop.create_task(work, name=f"handler {name}")
        self._others.append(task)
        task.add_done_callback(_retrieve)
        return task

    def _session(self, session_id: str) -> LiveSession:
        if session_id not in self._session_ids:
            self._session_ids += session_id
        return self._heart.session(session_id)

    def post(self, label: str, behaviour: Behaviour, if_active: IfActive, key: str | None) -> None:
        self._session(label[0])
        if label not in self._watch.lives:
            self._watch.lives[label] = Life(label, behaviour, if_active, key)
        upstream = Upstream(label, behaviour, self._watch)
        self._upstreams.append(upstream)
        ask = Submission(
            owner=OWNER,
            session_id=label[0],
            prompt=label,
            model=MODEL,
            backend=upstream,
            if_active=if_active,
            key=key,
        )
        self._begin(label, ask)

    def again(self, label: str, behaviour: Behaviour, of: str, how: How) -> None:
        self._watch.lives[label] = Life(label, behaviour, "supersede", None, goes_on=how == "continue")
        upstream = Upstream(label, behaviour, self._watch)
        self._upstreams.append(upstream)
        answer = self._history.message_of(self._watch.lives[of].stream_id) or "unknown"
        ask = Submission(
            owner=OWNER,
            session_id=label[0],
            regenerate=answer if how == "regenerate" else None,
            continues=answer if how == "continue" else None,
            model=MODEL,
            backend=upstream,
        )
        self._begin(label, ask)

    def _begin(self, label: str, ask: Submission) -> None:
        self._posts[label] = self._handlers[label] = self._handle(self._register(label, ask), f"post {label}")

    async def _register(self, label: str, ask: Submission) -> Registered:
        self._watch.lives[label].begun = True
        return await self._heart.register(ask)

    def claimed(self, label: str) -> bool:
        life = self._watch.lives.get(label)
        return life is not None and (bool(life.stream_id) or self._handlers[label].done())

    def asked(self, label: str) -> bool:
        return label in self._handlers

    def stop(self, label: str) -> None:
        life = self._watch.lives[label]
        if not life.stream_id:
            return  # it was refused
        life.stopped = True
        stopping = self._handle(self._heart.stop(OWNER, life.stream_id, wait=2.0), f"stop {label}")
        stopping.add_done_callback(lambda _: self._watch.stop_was_answered([life]))

    def stop_session(self, session_id: str) -> None:
        lives = [life for life in self._watch.lives.values() if life.session_id == session_id]
        for life in lives:
            life.stopped = True
        stopping = self._handle(
            self._heart.stop_session(OWNER, session_id, wait=2.0), f"stop session {session_id}"
        )
        self._watch.allowed.stopping.append((session_id, stopping))
        claimed = [life for life in lives if life.stream_id]
        stopping.add_done_callback(lambda _: self._watch.stop_was_answered(claimed))

    def delete_session(self, session_id: str, wait: float) -> None:
        self._watch.allowed.deleted.add(session_id)
        self._handle(self._heart.delete_session(OWNER, session_id, wait=wait), f"delete {session_id}")

    def hang_up(self, label: str) -> None:
        self._watch.hung_up.add(label)
        self._handlers[label].cancel()

    def shut_down(self, patience: float) -> None:
        self._watch.allowed.shutdown = True
        closing = self._handle(self._heart.close(patience=patience), "shut down")
        closing.add_done_callback(lambda _: setattr(self._watch.allowed, "closed", True))

    def victim(self, kind: str) -> Callable[[], Any] | None:
        for task in self._loop.tasks():
            if task.get_name().startswith(kind):
                return lambda task=task: self._cut(task)  # type: ignore[misc]
        return None

    def _cut(self, task: asyncio.Task[Any]) -> None:
        self._watch.allowed.cut = True
        task.cancel()

    # ---- viewers ---------------------------------------------------------------------------------------------

    def come(self, name: str, session_id: str, label: str | None) -> None:
        live = self._session(session_id)
        self._watch.look(self._heart, self._session_ids)  # the first listener is the one that keeps the book
        session = viewable(live)
        tab = Tab(name, session, self._watch.books[id(live)].events, self._watch.violate)
        after = session.log.head
        stream_id = None
        if label is not None and self._watch.lives[label].stream_id:
            stream_id = self._watch.lives[label].stream_id
            before = session.log.before(stream_id)
            after = session.log.head if before is None else before
        self._tabs[name] = tab
        tab.task = self._loop.create_task(
            tab.watch(self._viewer, self._channels, after, stream_id), name=f"viewer {name}"
        )
        tab.task.add_done_callback(_retrieve)

    def leave(self, name: str, noticed: Literal["cancelled", "ticked"]) -> None:
        self._tabs[name].leave(cancelled=noticed == "cancelled")

    def watches(self, name: str) -> bool:
        return name in self._tabs

    def stall(self, name: str) -> None:
        self._tabs[name].stall()

    def resume(self, name: str) -> None:
        self._tabs[name].resume()


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Look at how a handler ended: what it raised is its answer."""
    if not task.cancelled():
        task.exception()


def play(scenario: Scenario, chooser: Chooser, subject: Subject = PRODUCT) -> Violation | None:
    """Run a scenario once; return what did not hold, or `None`."""
    try:
        World(scenario, chooser, subject).run()
    except Violation as violation:
        return violation
    return None
