"""What a handler knows of the step that it works on."""

import logging
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET
from nats.aio.client import Client

from leadplan_bus.errors import ClaimCheckError
from leadplan_contracts import DataRef, LeadGenStepResult, SupervisorUserContext, ToolRequest
from leadplan_responder.checkpoint import Checkpoint, StepItems
from leadplan_responder.errors import ToolError
from leadplan_responder.payloads import InvalidPayloadError, decode

_LONGEST_ATTEMPT_MS = 86_400_000  # a plan can't ask for more; what isn't bounded overflows

T = TypeVar("T")

SendProgress = Callable[[float | None, str | None], Awaitable[None]]
FetchData = Callable[[DataRef], Awaitable[bytes]]


class _StepLog(logging.LoggerAdapter[logging.Logger]):
    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = {**(self.extra or {}), **kwargs.get("extra", {})}
        return msg, kwargs


class ToolContext:
    """The step behind a request: who, which plan, what came before, and how long there is left.

    Attributes:
        plan_id, step_id, tool: where the request comes from.
        attempt: 1 for the first of a round.
        round: 1, and one more each time somebody had the plan run again.
        idempotency_key: the same for every attempt of the step, in every round; hand it to APIs that take one.
        user: on whose behalf the plan runs.
        prior_results: results of the steps that this one depends on, by step id.
        checkpoint: finished work that a later attempt of the step needn't repeat.
        cancelled: set when the handler is cancelled: at its deadline, with its plan, or with its process. For blocking
            code in a thread, which a cancellation doesn't reach; async code gets ``asyncio.CancelledError``.
        log: a logger that adds plan, step, attempt and round to every record.
    """

    def __init__(
        self,
        request: ToolRequest,
        *,
        send_progress: SendProgress,
        fetch_data: FetchData,
        checkpoint: StepItems,
        nats: Client | None,
    ) -> None:
        self.plan_id = request.plan_id
        self.step_id = request.step_id
        self.tool = request.tool
        self.attempt = request.attempt
        self.round = request.round or 1
        self.idempotency_key = request.idempotency_key
        self.user: SupervisorUserContext = request.user
        self.prior_results: Mapping[str, LeadGenStepResult] = request.prior_results
        self.log = _StepLog(
            logging.getLogger(f"leadplan.tool.{request.tool}"),
            {
                "plan_id": request.plan_id,
                "step_id": request.step_id,
                "attempt": request.attempt,
                "round": self.round,
            },
        )
        self.cancelled = threading.Event()
        self.checkpoint = Checkpoint(checkpoint, self.log)
        self._plan_json = request.plan
        self._plan: dict[str, Any] | None = None
        self._ends_at = _end_in(request.timeout_ms)
        self._send_progress = send_progress
        self._fetch_data = fetch_data
        self._nats = nats

    @property
    def plan(self) -> dict[str, Any]:
        """The plan as it was submitted; without ``steps`` where its JSON is over 32 KiB."""
        if self._plan is None:
            self._plan = msgspec.json.decode(self._plan_json, type=dict[str, Any])
        return self._plan

    @property
    def nats(self) -> Client:
        """The connection, for tools that use NATS themselves.

        Raises:
            RuntimeError: the handler runs without NATS, as in a test.
        """
        if self._nats is None:
            raise RuntimeError("this handler runs without a NATS connection")
        return self._nats

    def seconds_left(self) -> float:
        """Seconds until the attempt's deadline; the handler is cancelled when it passes."""
        return max(0.0, self._ends_at - time.monotonic())

    def put_off_end(self, timeout_ms: int) -> None:
        """For the SDK: the attempt's request came once more, and lasts so long from now where that is later."""
        self._ends_at = max(self._ends_at, _end_in(timeout_ms))

    async def progress(self, fraction: float | None = None, message: str | None = None) -> None:
        """Report progress: it reaches followers of the plan as ``STEP_PROGRESS``.

        It never fails for want of a connection: progress that can't be sent is dropped.

        Args:
            fraction: 0 to 1; values outside are brought inside. None when it isn't known.
            message: for people, such as "12 of 30 domains".
        """
        await self._send_progress(None if fraction is None else min(1.0, max(0.0, fraction)), message)

    async def prior_data(self, step_id: str, model: type[T]) -> T:
        """What an earlier step returned, as the given type; fetched when it lies in the object store.

        Raises:
            ToolError: not retryable, when this step doesn't depend on that one, when it returned nothing, or when its
                data doesn't fit the type; retryable, when the object store can't be read.
        """
        result = self.prior_results.get(step_id)
        if result is None:
            raise ToolError(
                f"step {step_id!r} isn't among the steps before this one", code="missing_source", retryable=False
            )
        try:
            if result.data_ref is not None:
                return decode(await self._fetch_data(result.data_ref), model)
            if result.data is UNSET or bytes(result.data) == b"null":
                raise ToolError(
                    f"step {step_id!r} has no data ({result.status})", code="missing_source", retryable=False
                )
            return decode(result.data, model)
        except InvalidPayloadError as error:
            raise ToolError(
                f"the data of step {step_id!r} has another shape than this tool reads: {error}",
                code="unreadable_source",
                retryable=False,
            ) from None
        except ClaimCheckError as error:
            raise ToolError(f"the data of step {step_id!r} can't be fetched: {error}", code="missing_source") from error


def _end_in(timeout_ms: int) -> float:
    return time.monotonic() + min(timeout_ms, _LONGEST_ATTEMPT_MS) / 1000
