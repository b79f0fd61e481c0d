"""The switch: an executor in this process that loses power at a chosen moment, told from its traffic alone.

Nothing in production code knows of it. The instance's NATS client is wrapped, so that each message on its way out or
in can be the last one. From that moment nothing leaves the instance and nothing reaches it, whatever its tasks still
do while they are taken down; its socket is cut without a word of parting. What stood in the client's buffer before
the moment does reach the server, so that each point is one and the same story every time.

An instance's tasks are known by a context variable that every task inherits from the one that made it.
"""

import asyncio
import contextlib
import contextvars
import functools
import json
from collections.abc import Callable, Coroutine, Iterator, Mapping
from enum import Enum
from typing import Any, NamedTuple
from unittest import mock

from nats.aio.client import Client

from leadplan_bus.connection import close, connect, flush
from leadplan_bus.discovery import AnnouncedTool, discover_tools
from leadplan_contracts import subjects
from leadplan_executor import tool_directory
from leadplan_executor.control_messages import Steering
from leadplan_executor.service import Executor
from leadplan_executor.settings import ExecutorSettings

_ACK_PREFIX = f"$JS.ACK.{subjects.PLANS_STREAM}."
"""Of a message of the queue, whichever consumer gave it."""
_STEERED = frozenset(subjects.plan_control_subject(endpoint) for endpoint in Steering)
_SETTLED = (b"+ACK", b"-NAK", b"+TERM")
_CUT_SECONDS = 2.0
_LOOK_SECONDS = 0.002
_SILENCE_SECONDS = 0.005
"""How long discovery waits for more announcements: here they come from this very process, or aren't needed."""


class Kind(Enum):
    """After what the power goes. The first word is the name of the kind's family."""

    DELIVERY_RECEIVED = "plan delivered, not looked at"
    APPEND_UNSENT = "append decided on, not sent"
    APPEND_UNANSWERED = "append stored, answer lost"
    REQUEST_SENT = "request sent to a tool"
    REPLY_RECEIVED = "reply of a tool received, not looked at"
    ACK_UNSENT = "ack of the plan's message not sent"
    ACK_SENT = "ack of the plan's message sent"
    UPLOAD_UNSENT = "part of an upload not sent"
    UPLOAD_UNANSWERED = "part of an upload stored, answer lost"
    REJECTION_UNSENT = "rejection not sent"
    REJECTION_UNANSWERED = "rejection stored, answer lost"
    TAKEOVER_UNSENT = "note of a take-over not sent"
    TAKEOVER_UNANSWERED = "note of a take-over stored, answer lost"
    TIMER_UNSENT = "timer of a plan not set"
    TIMER_UNANSWERED = "timer of a plan set, answer lost"
    WAKE_UNSENT = "wake message not sent"
    WAKE_UNANSWERED = "wake message stored, answer lost"
    CONTROL_RECEIVED = "control request received, not looked at"
    CONTROL_UNANSWERED = "answer to a control request not sent"
    ADMISSION_UNSENT = "note of a recurring run not sent"
    ADMISSION_UNANSWERED = "note of a recurring run stored, answer lost"

    @property
    def family(self) -> str:
        """``append``, ``request``, ``reply``, ``ack`` …"""
        return self.name.partition("_")[0].lower()


class Moment(NamedTuple):
    """A crash point that was come to; ``what`` is the same however often the same thing is tried."""

    kind: Kind
    what: str


Cuts = Callable[[Moment], bool]
"""Asked at each moment: does the power go now?"""

_STORED = {
    "plans.log.": (Kind.APPEND_UNSENT, Kind.APPEND_UNANSWERED),
    "plans.rejected.": (Kind.REJECTION_UNSENT, Kind.REJECTION_UNANSWERED),
    f"$O.{subjects.PLAN_DATA_BUCKET}.": (Kind.UPLOAD_UNSENT, Kind.UPLOAD_UNANSWERED),
    f"$KV.{subjects.PLAN_TAKEOVERS_BUCKET}.": (Kind.TAKEOVER_UNSENT, Kind.TAKEOVER_UNANSWERED),
    "plans.timer.": (Kind.TIMER_UNSENT, Kind.TIMER_UNANSWERED),
    "plans.wake.": (Kind.WAKE_UNSENT, Kind.WAKE_UNANSWERED),
    f"$KV.{subjects.MONITOR_RUNS_BUCKET}.": (Kind.ADMISSION_UNSENT, Kind.ADMISSION_UNANSWERED),
}


def _what_is_appended(body: bytes) -> str:
    """Plan, type, step and attempt of an event: its sequence is another one after a take-over."""
    event = json.loads(body)
    step, result = event.get("step") or {}, event.get("result") or {}
    return f"{event['planId']} {event['type']} {step.get('id', '')} {result.get('attempts', '')}"


class _Around(NamedTuple):
    """The moments around a message that leaves: before it, after it, and when the answer to it comes."""

    before: Moment | None = None
    after: Moment | None = None
    answered: Moment | None = None


def _around(subject: str, body: bytes, headers: Mapping[str, str] | None) -> _Around:
    for prefix, (unsent, unanswered) in _STORED.items():
        if subject.startswith(prefix):
            what = _what_is_appended(body) if unsent is Kind.APPEND_UNSENT else subject
            return _Around(before=Moment(unsent, what), answered=Moment(unanswered, what))
    if subject.startswith(_ACK_PREFIX) and body == b"+ACK":
        what = _stream_sequence(subject)
        return _Around(before=Moment(Kind.ACK_UNSENT, what), after=Moment(Kind.ACK_SENT, what))
    if subject.startswith("tools.") and headers is not None and subjects.IDEMPOTENCY_KEY_HEADER in headers:
        what = f"{headers[subjects.IDEMPOTENCY_KEY_HEADER]} attempt {headers[subjects.ATTEMPT_HEADER]}"
        return _Around(after=Moment(Kind.REQUEST_SENT, what), answered=Moment(Kind.REPLY_RECEIVED, what))
    return _Around()


def _stream_sequence(ack_subject: str) -> str:
    """``$JS.ACK.<stream>.<consumer>.<delivered>.<stream sequence>.…``"""
    return ack_subject.split(".")[5]


_owner: contextvars.ContextVar["MortalExecutor | None"] = contextvars.ContextVar("owner", default=None)


def _make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
    context = options.get("context")
    owner = _owner.get() if context is None else context.get(_owner)
    if owner is not None:
        owner.adopt(task)
    return task


class MortalExecutor:
    """An executor instance on a connection of its own, until its power goes.

    Attributes:
        executor: the real thing; None before the instance has connected.
        dead: the power is gone.
        leases: ack subjects of the deliveries that it holds.

    Args:
        url: the server.
        settings: by field name.
        cuts: asked at each moment.
    """

    def __init__(self, url: str, settings: Mapping[str, Any], cuts: Cuts) -> None:
        self.executor: Executor | None = None
        self.dead = False
        self.leases: dict[str, str] = {}
        self._url = url
        self._settings = settings
        self._cuts = cuts
        self._nc: Client | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._awaited: dict[str, Moment] = {}
        self._asked: dict[str, str] = {}
        self._gone = asyncio.Event()
        self._vanishing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect and serve; returns as well when the power goes meanwhile."""
        asyncio.get_running_loop().set_task_factory(_make_task)
        await self._do(self._serve())

    async def stop(self) -> None:
        """Stop in order, as on SIGTERM; the power may go meanwhile."""
        if self.executor is not None and not self.dead:
            await self._do(self.executor.stop())
        if self.dead:
            await self.gone()
        elif self._nc is not None:
            await close(self._nc)

    async def gone(self) -> None:
        """Wait until the power is gone and nothing of the instance is left."""
        await self._gone.wait()

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """A task of this instance was made."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def lose_power(self) -> None:
        """Now."""
        if not self.dead:
            self.dead = True
            self._vanishing = asyncio.get_running_loop().create_task(self._vanish(), context=contextvars.Context())

    async def _do(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something as this instance, until it is done or the power goes."""
        context = contextvars.copy_context()
        context.run(_owner.set, self)
        doing = asyncio.get_running_loop().create_task(work, context=context)
        await asyncio.wait({doing})
        if not doing.cancelled() and not self.dead:
            doing.result()

    async def _serve(self) -> None:
        self._nc = await connect(self._url, name="mortal executor")
        self._wrap(self._nc)
        self.executor = Executor(self._nc, ExecutorSettings(**self._settings))
        await self.executor.start()

    def _wrap(self, nc: Client) -> None:
        send, receive = nc.publish, nc._process_msg

        async def publish(
            subject: str, payload: bytes = b"", reply: str = "", headers: dict[str, str] | None = None
        ) -> None:
            around = _around(subject, payload, headers)
            if (asked := self._asked.pop(subject, None)) is not None:
                around = _Around(before=Moment(Kind.CONTROL_UNANSWERED, asked))
            self._come_to(around.before)
            if around.answered is not None:
                self._awaited[reply] = around.answered
            if payload.startswith(_SETTLED):
                self.leases.pop(subject, None)
            await send(subject, payload, reply, headers)
            self._come_to(around.after)

        async def process(sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
            moment = self._received(subject.decode(), reply.decode(), data, headers or b"")
            if self.dead or (moment is not None and self._cuts(moment)):
                self.lose_power()
                return
            await receive(sid, subject, reply, data, headers)

        nc.publish, nc._process_msg = publish, process  # type: ignore[method-assign]

    def _come_to(self, moment: Moment | None) -> None:
        """Let the task that sends something go on, unless the power is gone."""
        if not self.dead and moment is not None and self._cuts(moment):
            self.lose_power()
        if self.dead:
            raise asyncio.CancelledError

    def _received(self, subject: str, reply: str, data: bytes, headers: bytes) -> Moment | None:
        if reply.startswith(_ACK_PREFIX):
            sequence = self.leases[reply] = _stream_sequence(reply)
            return Moment(Kind.DELIVERY_RECEIVED, sequence)
        if subject in _STEERED:
            what = self._asked[reply] = f"{subject} {data.decode(errors='replace')}"
            return Moment(Kind.CONTROL_RECEIVED, what)
        if f"{subjects.REPLY_KIND_HEADER}: {subjects.REPLY_KIND_WORKING}".encode() in headers:
            return None
        return self._awaited.pop(subject, None)

    async def _vanish(self) -> None:
        """Cut the connection and take the tasks down; what they still try to say goes nowhere.

        The server is made to notice at once that nobody listens any more, as it does when a socket breaks; else it
        could hand out a plan to nobody, and the test would wait for the lease.
        """
        nc = self._nc
        if nc is not None and nc.is_connected:
            try:
                async with asyncio.timeout(_CUT_SECONDS):
                    for sid in list(nc._subs):
                        await nc._send_unsubscribe(sid)
                    await flush(nc)
            except (TimeoutError, OSError):
                pass  # the server is away: it hears nothing of this connection any more
        if nc is not None:
            nc._status = Client.CLOSED
            if nc._transport is not None:
                nc._transport.close()  # type: ignore[no-untyped-call]  # nats-py's
        while self._tasks:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.wait(list(self._tasks), timeout=0.1)
        self._gone.set()


@contextlib.contextmanager
def quick_starts() -> Iterator[None]:
    """Executors that start hundreds of times in this process: discovery doesn't wait for services far away, and a
    schema that was seen before isn't checked again.
    """
    directory = "leadplan_executor.tool_directory"
    known: dict[str, Any] = {}

    def validator(announced: AnnouncedTool) -> Any:
        key = repr((announced.tool, announced.params_schema))
        if key not in known:
            known[key] = make(announced)
        return known[key]

    make = tool_directory._validator
    quick = functools.partial(discover_tools, silence=_SILENCE_SECONDS)
    with mock.patch(f"{directory}.discover_tools", quick), mock.patch(f"{directory}._validator", validator):
        yield


class SupervisedExecutor:
    """A mortal executor that is replaced whenever its power goes, as a supervisor of processes does.

    Its leases are handed back at once in its place: the same redelivery as when they run out, without the wait.

    Attributes:
        losses: how often the power went.
        nc: another connection, to hand leases back.

    Args:
        url: the server.
        nc: see above.
        cuts: asked at each moment of each instance.
        settings: of the executors, by field name.
    """

    def __init__(self, url: str, nc: Client, cuts: Cuts, settings: Mapping[str, Any]) -> None:
        self.losses = 0
        self._url = url
        self.nc = nc
        self._cuts = cuts
        self._settings = settings
        self._instance = MortalExecutor(url, settings, cuts)
        self._supervising: asyncio.Task[None] | None = None
        self._serving = False

    @property
    def id(self) -> str:
        """Of the instance that serves now."""
        executor = self._instance.executor
        return "" if executor is None else executor.id

    @property
    def serving(self) -> Executor | None:
        """The instance that serves now; None while there is none."""
        return self._instance.executor if self._serving and not self._instance.dead else None

    async def start(self) -> None:
        """Start the first instance."""
        await self._instance.start()
        self._serving = True
        self._supervising = asyncio.create_task(self._replace_again_and_again(), name="supervisor")

    async def stop(self) -> None:
        """Stop in order; a second call does nothing."""
        if self._supervising is None:
            return
        await self.steady()
        supervising, self._supervising = self._supervising, None
        supervising.cancel()
        await asyncio.wait({supervising})
        await self._instance.stop()
        await self._hand_back_leases(self._instance)

    async def lose_power(self) -> None:
        """Let the power go now, and wait until an instance serves again."""
        self._instance.lose_power()
        await self.steady()

    async def steady(self) -> None:
        """Wait until an instance with power serves.

        Raises:
            Exception: what kept the replacement from starting.
        """
        while self._instance.dead or not self._serving:
            if self._supervising is not None and self._supervising.done():
                self._supervising.result()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _replace_again_and_again(self) -> None:
        while True:
            await self._instance.gone()
            self._serving = False
            self.losses += 1
            lost, self._instance = self._instance, MortalExecutor(self._url, self._settings, self._cuts)
            await self._hand_back_leases(lost)
            await self._instance.start()
            self._serving = True

    async def _hand_back_leases(self, lost: MortalExecutor) -> None:
        for lease in lost.leases:
            await self.nc.publish(lease, b"-NAK")
