"""The executor as a process: start, serve until a signal, and stop in order."""

import asyncio
import contextlib
import gc
import signal
import sys
import time
from collections.abc import Callable, Sequence

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from pydantic import ValidationError

from leadplan_bus.claim_check import ClaimCheck
from leadplan_bus.connection import close, connect, flush, without_credentials
from leadplan_bus.errors import BusError, ConnectionLostError, InvalidAddressError, PermissionDeniedError
from leadplan_bus.event_loop import new_event_loop
from leadplan_bus.micro_service import MicroService
from leadplan_bus.tokens import new_token
from leadplan_contracts import subjects
from leadplan_executor.control_service import ControlService
from leadplan_executor.core.lanes import slots
from leadplan_executor.core.takeovers import Holder
from leadplan_executor.errors import ExecutorError
from leadplan_executor.fair_intake import FairIntake, Work
from leadplan_executor.intake import PlanIntake
from leadplan_executor.lane_moves import LaneMover
from leadplan_executor.logs import configure_logs
from leadplan_executor.owner_desk import OwnerDesk
from leadplan_executor.plan_execution import RunLimits
from leadplan_executor.plan_guard import PlanGuard
from leadplan_executor.plan_handler import PlanHandler
from leadplan_executor.plan_index import PlanIndex
from leadplan_executor.plan_listing import PlanLister
from leadplan_executor.plan_statuses import PlanStatuses
from leadplan_executor.plan_steering import PlanSteering
from leadplan_executor.pulls import Delivery
from leadplan_executor.quarantine import Quarantine, QuarantineSettings
from leadplan_executor.server_watch import ServerWatch, is_needed
from leadplan_executor.settings import ExecutorSettings
from leadplan_executor.start_up import prepare_server, shared_consumers
from leadplan_executor.takeover_book import TakeOverBook
from leadplan_executor.tool_calls import ToolCaller
from leadplan_executor.tool_directory import ToolDirectory
from leadplan_executor.watchdog import end_when_stuck

log = structlog.get_logger(__name__)

VERSION = "0.1.0"
_HAND_BACK_SECONDS = 5.0
_LEAVE_SECONDS = 2.0
_CANCEL_AGAIN_SECONDS = 0.1
_GARBAGE_THRESHOLDS = (100_000, 50, 100)
"""With Python's own, the search for garbage in ten thousand plans under way takes most of the time, and finds next to
nothing.
"""


class Executor:
    """An executor instance on a connection.

    Args:
        nc: the connection.
        settings: see there.
    """

    def __init__(self, nc: Client, settings: ExecutorSettings) -> None:
        self.id = f"{settings.executor_name}-{new_token()[-8:]}"
        self._nc = nc
        self._settings = settings
        claim_check = ClaimCheck(nc.jetstream())
        self._tools = ToolCaller(nc, claim_check)
        self._directory = ToolDirectory(nc, settings.discovery_interval_ms / 1000, settings.unknown_tools)
        self._service = MicroService(
            nc, name=subjects.EXECUTOR_SERVICE_NAME, version=VERSION, description="Runs plans from plans.execute"
        )
        limits = RunLimits(settings.busy_limit_ms, settings.park_after_ms, settings.longest_wait_ms)
        handler = PlanHandler(
            nc,
            executor=self.id,
            tools=self._tools,
            claim_check=claim_check,
            directory=self._directory,
            limits=limits,
        )
        self._desk = OwnerDesk(nc, self.id, handler.runs)
        statuses = PlanStatuses(nc, handler.plan_log)
        self._control = ControlService(
            nc,
            self._service,
            steering=PlanSteering(nc, handler.plan_log, statuses),
            statuses=statuses,
            lister=PlanLister(nc),
            check=handler.check,
        )
        holder = Holder(executor=self.id, service=self._service.id)
        alone = QuarantineSettings(
            executor=self.id,
            limits=limits,
            stall_limit_ms=settings.stall_limit_ms,
            log_level=settings.log_level,
            unknown_tools=settings.unknown_tools,
        )
        self._submissions = PlanGuard(handler, TakeOverBook(nc, holder, settings.max_takeovers), Quarantine(nc, alone))
        self._watch = ServerWatch(
            nc,
            retention=settings.retention,
            consumers=shared_consumers(settings),
            lost_limit_seconds=settings.server_lost_limit_ms / 1000,
        )
        self._plans = FairIntake(
            nc,
            slots(settings.max_plans, settings.reserved_plans_percent),
            settle=self._submissions.settle,
            hold=self._hold,
            mover=LaneMover(nc, handler.plan_log, PlanIndex(nc), lambda: self._watch.lease_seconds),
            lease_seconds=lambda: self._watch.lease_seconds,
            on_trouble=self._watch.look_now,
        )
        self._wakes = PlanIntake(
            nc,
            settings.max_plans,
            lambda delivery, release: self._hold(delivery, self._submissions.settle, release),
            consumer=subjects.WAKES_CONSUMER,
            lease_seconds=lambda: self._watch.lease_seconds,
            on_trouble=self._watch.look_now,
        )
        self._held: dict[Delivery, asyncio.Task[None]] = {}
        self._background: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Create what is missing on the server, and take plans.

        Raises:
            leadplan_bus.errors.BusError: JetStream is off, or a stream has another configuration than we need.
            UnfitServerError: the server isn't safe, and such a one is to be refused.
        """
        settings = self._settings
        await prepare_server(self._nc, settings)
        await self._tools.start()
        await self._desk.start()
        await self._control.start()
        await self._service.start()
        for name, work in (
            ("tool directory", self._directory.keep_current()),
            ("leases", self._keep_leases()),
            ("new plans", self._plans.sort_new_plans()),
            ("lanes", self._plans.fill_slots()),
            ("wakes", self._wakes.run()),
            ("server watch", self._watch.run()),
        ):
            self._background.append(asyncio.create_task(work, name=name))
        await flush(self._nc)
        log.info("serving", executor=self.id, max_plans=settings.max_plans, lease_ms=settings.lease_ms)

    async def failed(self) -> None:
        """Wait until a background task fails; it never ends otherwise.

        Raises:
            Exception: what the task failed with.
        """
        done, _ = await asyncio.wait(self._background, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def stop(self, *, at_once: bool = False) -> None:
        """Take no more plans, give running attempts the grace time, hand the rest back, and leave in order.

        Args:
            at_once: give no grace time, because nothing can go on.
        """
        log.info("stopping", executor=self.id, plans=len(self._held))
        with contextlib.suppress(NatsError):
            await asyncio.gather(self._plans.stop(), self._wakes.stop())
        self._submissions.drain()
        if self._held and not at_once:
            await asyncio.wait(self._held.values(), timeout=self._settings.grace_ms / 1000)
        self._submissions.abandon()
        if self._held:
            await asyncio.wait(self._held.values(), timeout=_LEAVE_SECONDS if at_once else _HAND_BACK_SECONDS)
        await _end([*self._background, *self._held.values()])
        try:
            async with asyncio.timeout(_LEAVE_SECONDS):
                await self._control.stop()
                await self._service.stop()
                await flush(self._nc)
        except (NatsError, TimeoutError):
            log.warning("stopped without the server: leases of plans that were held run out by themselves")
        log.info("stopped", executor=self.id)

    def _hold(self, delivery: Delivery, work: Work, release: Callable[[], None]) -> None:
        task = asyncio.create_task(self._do(delivery, work, release), name=f"message {delivery.stream_sequence}")
        self._held[delivery] = task

    async def _do(self, delivery: Delivery, work: Work, release: Callable[[], None]) -> None:
        try:
            await work(delivery)
        except NatsError as error:
            log.warning(
                "the server didn't answer, handing the plan back", message=delivery.stream_sequence, problem=repr(error)
            )
            await self._hand_back(delivery, 1.0)
        except Exception:
            log.exception("handling a plan failed, handing it back", message=delivery.stream_sequence)
            await self._hand_back(delivery, _HAND_BACK_SECONDS)
        finally:
            del self._held[delivery]
            release()

    async def _hand_back(self, delivery: Delivery, delay_seconds: float) -> None:
        # Where this fails too, the lease runs out and the queue gives the plan to an executor all the same.
        with contextlib.suppress(NatsError):
            await delivery.hand_back(delay_seconds)

    async def _keep_leases(self) -> None:
        """Renew the leases on what is held, as long as the server answers.

        A renewal names the plan's message only. So one from an executor that has lost the plan prolongs the lease of
        the new owner, even of one that has died. After a gap longer than a lease (this process stood still, or the
        connection was down or silent) each plan's log is asked first whether the plan is still ours.
        """
        answered_at = time.monotonic()
        while True:
            lease = self._watch.lease_seconds
            await asyncio.sleep(lease / 3)
            asked_at = time.monotonic()
            try:
                if asked_at - answered_at <= lease:
                    for delivery in list(self._held):
                        await delivery.renew_lease()
                await flush(self._nc)
                if (silent := time.monotonic() - answered_at) > lease:
                    log.warning(
                        "no answer for longer than a lease, looking whose plans these are", seconds=round(silent)
                    )
                    self._plans.let_go_of_waiting()
                    await self._submissions.let_go_of_lost_plans()
            except NatsError as error:
                log.debug("leases can't be renewed", problem=repr(error))
            else:
                answered_at = asked_at


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended: one that waits for an answer which just came takes a cancellation for itself.

    That is ``asyncio.wait_for`` before Python 3.12, which nats-py uses for every request.
    """
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=_CANCEL_AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)


async def serve(settings: ExecutorSettings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        leadplan_bus.errors.BusError: the server isn't there or isn't fit, or closed the connection for good.
        ExecutorError: plans can't go on.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    denied: list[str] = []

    def note_denied(violation: str) -> None:
        if is_needed(violation):
            denied.append(violation)
            stop.set()

    url = settings.nats_url.get_secret_value()
    within = settings.connect_timeout_ms / 1000
    nc = await connect(url, name="leadplan-executor", within_seconds=within, on_closed=stop.set, on_denied=note_denied)
    log.info("connected", nats=without_credentials(url), server_version=str(nc.connected_server_version))
    executor = Executor(nc, settings)
    watchdog = asyncio.create_task(end_when_stuck(settings.stall_limit_ms / 1000), name="watchdog")
    failing = True
    try:
        await _until_stopped(executor, stop)
        if denied:
            raise PermissionDeniedError(denied[0])
        if nc.is_closed:
            raise ConnectionLostError(nc.last_error)
        failing = False
    except NatsError as error:
        raise ConnectionLostError(nc.last_error if nc.is_closed else error) from error
    finally:
        await executor.stop(at_once=failing)
        await close(nc)
        watchdog.cancel()


async def _until_stopped(executor: Executor, stop: asyncio.Event) -> None:
    """Start and serve until told to stop, at whatever point; raises what starting or serving failed with."""

    async def start_and_serve() -> None:
        await executor.start()
        await executor.failed()

    serving = asyncio.create_task(start_and_serve(), name="serving")
    stopping = asyncio.create_task(stop.wait(), name="stop signal")
    await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    if not stop.is_set():
        stopping.cancel()
        serving.result()
    serving.cancel()
    await asyncio.wait({serving}, timeout=_LEAVE_SECONDS)  # nats-py takes some cancellations for itself


def run() -> int:
    """Run the executor with settings from the environment; the exit code is 0 after a signal, 1 or 2 on errors."""
    try:
        settings = ExecutorSettings()
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            print(f"leadplan executor: setting {_variable(problem['loc'])}: {problem['msg']}", file=sys.stderr)  # noqa: T201
        return 2
    configure_logs(settings.log_level)
    gc.freeze()  # what was imported stays
    gc.set_threshold(*_GARBAGE_THRESHOLDS)
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(serve(settings))
    except (BusError, ExecutorError) as error:
        print(f"leadplan executor: {error}", file=sys.stderr)  # noqa: T201
        return 2 if isinstance(error, InvalidAddressError) else 1
    except NatsError as error:
        print(f"leadplan executor: the NATS server failed: {error!r}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _variable(location: tuple[int | str, ...]) -> str:
    name = str(location[0]) if location else "environment"
    return name if name == "NATS_URL" else f"LEADPLAN_{name.upper()}"
