"""Where an executor hears control requests for the plans that it holds."""

import asyncio

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from leadplan_contracts import subjects
from leadplan_contracts.wire import encode
from leadplan_executor.control_messages import NOT_HELD, Outcome, read_directive
from leadplan_executor.plan_runs import PlanRuns

log = structlog.get_logger(__name__)


class OwnerDesk:
    """Hands requests to the executions of plans that are held here, and answers with what became of them.

    Args:
        nc: the connection.
        executor: this instance's id: it is the one in the plan's log whom the endpoints ask.
        runs: the plans that are held.
    """

    def __init__(self, nc: Client, executor: str, runs: PlanRuns) -> None:
        self._nc = nc
        self._executor = executor
        self._runs = runs
        self._answering: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Hear requests from now on."""
        await self._nc.subscribe(subjects.plan_owner_subject(self._executor), cb=self._take)

    async def _take(self, message: Msg) -> None:
        task = asyncio.create_task(self._answer(message), name="control request")
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, message: Msg) -> None:
        try:
            outcome = await self._carry_out(message.data)
            if message.reply:
                await self._nc.publish(message.reply, encode(outcome))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("unreadable control request was dropped", problem=str(error))
        except NatsError as error:
            log.warning("a control request can't be answered", problem=repr(error))

    async def _carry_out(self, body: bytes) -> Outcome:
        request = read_directive(body).read()
        execution = self._runs.find(request.plan_id)
        return NOT_HELD if execution is None else await execution.control(request)
