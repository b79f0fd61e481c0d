"""The executor as a process: start, serve until a signal, and stop in order."""

import asyncio
import contextlib
import importlib
import signal
import sys
from collections.abc import Callable

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import OutboundBufferLimitError
from pydantic import ValidationError

from leadplan_bus.claim_check import ClaimCheck
from leadplan_bus.connection import close, connect, flush, without_credentials
from leadplan_bus.errors import BusError, ConnectionLostError, InvalidAddressError
from leadplan_bus.limits import require_room_for_events
from leadplan_bus.micro_service import MicroService
from leadplan_bus.tokens import new_token
from leadplan_bus.topology import ensure_topology, executors_consumer
from leadplan_contracts import subjects
from leadplan_executor.errors import ExecutorError
from leadplan_executor.intake import Delivery, PlanIntake
from leadplan_executor.logs import configure_logs
from leadplan_executor.plan_log import PlanLog
from leadplan_executor.settings import ExecutorSettings
from leadplan_executor.submissions import SubmissionHandler
from leadplan_executor.tool_calls import ToolCaller
from leadplan_executor.tool_directory import ToolDirectory

log = structlog.get_logger(__name__)

VERSION = "0.1.0"
_HAND_BACK_SECONDS = 5.0


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
        self._directory = ToolDirectory(nc, settings.discovery_interval_ms / 1000)
        self._submissions = SubmissionHandler(
            nc,
            executor=self.id,
            plan_log=PlanLog(nc, self.id),
            tools=self._tools,
            directory=self._directory,
            claim_check=claim_check,
            busy_limit_ms=settings.busy_limit_ms,
        )
        self._intake = PlanIntake(nc, settings.max_plans, self._take)
        self._service = MicroService(
            nc, name=subjects.EXECUTOR_SERVICE_NAME, version=VERSION, description="Runs plans from plans.execute"
        )
        self._held: dict[Delivery, asyncio.Task[None]] = {}
        self._background: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Create what is missing on the server, and take plans.

        Raises:
            leadplan_bus.errors.BusError: JetStream is off, or a stream has another configuration than we need.
        """
        settings = self._settings
        require_room_for_events(self._nc)
        js = self._nc.jetstream()
        await ensure_topology(js, settings.retention)
        consumer = executors_consumer(settings.lease_ms / 1000, settings.max_plans_in_queue_group)
        await js.add_consumer(subjects.PLANS_STREAM, consumer)
        await self._tools.start()
        await self._service.start()
        for name, work in (
            ("tool directory", self._directory.keep_current()),
            ("leases", self._keep_leases()),
            ("intake", self._intake.run()),
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

    async def stop(self) -> None:
        """Take no more plans, give running attempts the grace time, hand the rest back, and leave in order."""
        log.info("stopping", executor=self.id, plans=len(self._held))
        with contextlib.suppress(NatsError):
            await self._intake.stop()
        self._submissions.drain()
        if self._held:
            await asyncio.wait(self._held.values(), timeout=self._settings.grace_ms / 1000)
        self._submissions.abandon()
        if self._held:
            await asyncio.wait(self._held.values(), timeout=_HAND_BACK_SECONDS)
        for task in [*self._background, *self._held.values()]:
            task.cancel()
        await asyncio.gather(*self._background, *self._held.values(), return_exceptions=True)
        if not self._nc.is_closed:
            await self._service.stop()
            await flush(self._nc)
        log.info("stopped", executor=self.id)

    def _take(self, delivery: Delivery) -> None:
        task = asyncio.create_task(self._settle(delivery), name=f"message {delivery.stream_sequence}")
        self._held[delivery] = task

    async def _settle(self, delivery: Delivery) -> None:
        try:
            await self._submissions.handle(delivery)
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
            self._intake.release()

    async def _hand_back(self, delivery: Delivery, delay_seconds: float) -> None:
        # Where this fails too, the lease runs out and the queue gives the plan to an executor all the same.
        with contextlib.suppress(NatsError):
            await delivery.hand_back(delay_seconds)

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self._settings.lease_ms / 3000)
            for delivery in list(self._held):
                with contextlib.suppress(OutboundBufferLimitError):  # disconnected for long: the lease is lost anyway
                    await delivery.renew_lease()


async def serve(settings: ExecutorSettings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        leadplan_bus.errors.BusError: the server isn't there or isn't fit.
        ExecutorError: the connection was closed for good.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    url = settings.nats_url.get_secret_value()
    nc = await connect(
        url, name="leadplan-executor", within_seconds=settings.connect_timeout_ms / 1000, on_closed=stop.set
    )
    log.info("connected", nats=without_credentials(url), server_version=str(nc.connected_server_version))
    executor = Executor(nc, settings)
    try:
        await executor.start()
        stopping = asyncio.create_task(stop.wait(), name="stop signal")
        failed = asyncio.create_task(executor.failed(), name="background watch")
        await asyncio.wait((stopping, failed), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if failed.done():
            failed.result()
        failed.cancel()
        if nc.is_closed:
            raise ConnectionLostError(nc.last_error)
    finally:
        await executor.stop()
        await close(nc)


def run() -> int:
    """Run the executor with settings from the environment; the exit code is 0 after a signal, 1 or 2 on errors."""
    try:
        settings = ExecutorSettings()
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            print(f"leadplan executor: setting {_variable(problem['loc'])}: {problem['msg']}", file=sys.stderr)  # noqa: T201
        return 2
    configure_logs(settings.log_level)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve(settings))
    except (BusError, ExecutorError) as error:
        print(f"leadplan executor: {error}", file=sys.stderr)  # noqa: T201
        return 2 if isinstance(error, InvalidAddressError) else 1
    return 0


def _variable(location: tuple[int | str, ...]) -> str:
    name = str(location[0]) if location else "environment"
    return name if name == "NATS_URL" else f"LEADPLAN_{name.upper()}"


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Uvloop where it is installed: it about halves the cost of a message."""
    try:
        uvloop = importlib.import_module("uvloop")
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
