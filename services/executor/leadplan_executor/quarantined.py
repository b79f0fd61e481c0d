"""The process that runs one suspected plan: ``python -m leadplan_executor.quarantined``, started by ``quarantine.py``.

It is an executor instance of its own for the plan's log, takes nothing from the queue, and ends when its plan is
settled, when its parent has died, or when its event loop is stuck.
"""

import asyncio
import base64
import contextlib
import os
import signal
import sys
import time

import msgspec
import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError

from leadplan_bus.claim_check import ClaimCheck
from leadplan_bus.connection import close, connect
from leadplan_bus.errors import BusError
from leadplan_bus.tokens import new_token
from leadplan_executor.deliveries import submitted_as
from leadplan_executor.errors import crash_of
from leadplan_executor.logs import configure_logs
from leadplan_executor.owner_desk import OwnerDesk
from leadplan_executor.plan_handler import PlanHandler
from leadplan_executor.quarantine import Order, Report
from leadplan_executor.tool_calls import ToolCaller
from leadplan_executor.tool_directory import ToolDirectory
from leadplan_executor.watchdog import end_when_stuck

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.2
_LASTS_SECONDS = 60.0
"""A suspect that has lasted so long is handed back once no attempt is with a tool: it may be waiting for days."""
_DISCOVERY_SECONDS = 5.0
_TROUBLE_SECONDS = 1.0


_to_parent = 1


def report(one: Report) -> None:
    """Say a line to the parent."""
    with contextlib.suppress(BrokenPipeError):
        os.write(_to_parent, msgspec.json.encode(one) + b"\n")


def _keep_other_output_apart() -> None:
    """What anything else prints goes to standard error; standard output is for the parent's ears."""
    global _to_parent  # noqa: PLW0603 - a process has one parent
    _to_parent = os.dup(1)
    os.dup2(2, 1)


class GivenDelivery:
    """The delivery as the parent gave it; what becomes of it is said to the parent."""

    def __init__(self, order: Order) -> None:
        self.body = base64.b64decode(order.body)
        self.headers = order.headers
        self.subject = order.subject
        self.stream_sequence = order.stream_sequence
        self.submitted_as = submitted_as(order.subject, order.headers, order.stream_sequence)
        self.delivered = order.delivered
        self.last_word: Report | None = None

    async def ack(self) -> None:
        """The plan is done."""
        self.last_word = Report(done="ack")

    async def hand_back(self, delay_seconds: float = 0.0) -> None:
        """The plan goes back to the queue."""
        self.last_word = Report(done="hand_back", seconds=delay_seconds)


class Cell:
    """One suspected plan and the handler that has nothing else to do.

    Args:
        nc: the connection.
        order: what to do.
    """

    def __init__(self, nc: Client, order: Order) -> None:
        self._delivery = GivenDelivery(order)
        self._ending = order.ending
        claim_check = ClaimCheck(nc.jetstream())
        self._tools = ToolCaller(nc, claim_check)
        executor = f"{order.settings.executor}-alone-{new_token()[-8:]}"
        self._handler = PlanHandler(
            nc,
            executor=executor,
            tools=self._tools,
            claim_check=claim_check,
            directory=ToolDirectory(nc, _DISCOVERY_SECONDS, order.settings.unknown_tools),
            limits=order.settings.limits,
            on_plan_read=lambda plan_id: report(Report(plan_id=plan_id)),
        )
        self._desk = OwnerDesk(nc, executor, self._handler.runs)
        self._stopped = False

    def stop(self) -> None:
        """Hand the plan back once no attempt is with a tool."""
        self._stopped = True
        self._handler.runs.drain()

    async def settle(self) -> Report:
        """Handle the plan; the last word to the parent."""
        await self._tools.start()
        await self._desk.start()
        report(Report())  # whatever ends this process from here on, the plan is to blame for
        watching = asyncio.create_task(self._watch(), name="signs of life")
        try:
            if self._ending is None:
                await self._handler.handle(self._delivery)
            else:
                await self._handler.give_up(self._delivery, self._ending)
        except (NatsError, BusError) as error:
            log.warning("the server didn't answer, handing the plan back", problem=repr(error))
            return Report(done="hand_back", seconds=_TROUBLE_SECONDS)
        except Exception as error:
            log.exception("handling a suspected plan failed", message=self._delivery.stream_sequence)
            return Report(done="raised", problem=crash_of(error))
        finally:
            watching.cancel()
        last_word = self._delivery.last_word or Report(done="let_go")
        return msgspec.structs.replace(last_word, survived=not self._stopped)

    async def _watch(self) -> None:
        """Give signs of life; have the plan handed back when it needn't be alone any longer."""
        begun, draining = time.monotonic(), False
        while True:
            report(Report())
            lasted = time.monotonic() - begun > _LASTS_SECONDS
            if not draining and (lasted or self._handler.runs.got_further):
                draining = True
                self._handler.runs.drain()
            await asyncio.sleep(_LOOK_SECONDS)


async def settle_alone(order: Order) -> None:
    """Settle the plan of an order, and say to the parent what became of it."""
    loop = asyncio.get_running_loop()
    loop.add_reader(0, _end_with_parent)
    watchdog = asyncio.create_task(end_when_stuck(order.settings.stall_limit_ms / 1000), name="watchdog")
    try:
        try:
            nc = await connect(order.nats_url, name="leadplan-executor, one suspected plan")
        except BusError:
            report(Report(done="hand_back", seconds=_TROUBLE_SECONDS))
            return
        cell = Cell(nc, order)
        loop.add_signal_handler(signal.SIGTERM, cell.stop)
        try:
            last_word = await cell.settle()
        finally:
            await close(nc)
        report(last_word)
    finally:
        loop.remove_reader(0)
        watchdog.cancel()


def _end_with_parent() -> None:
    if not os.read(0, 1):
        os._exit(1)


def run() -> int:
    """Read the order, settle the plan, and end; the exit code is 0 where the last word was said."""
    _keep_other_output_apart()
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    configure_logs(order.settings.log_level)
    asyncio.run(settle_alone(order))
    return 0


if __name__ == "__main__":
    sys.exit(run())
