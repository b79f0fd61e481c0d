"""Running one handler: params in, result out within the attempt's time, and no exception gets away."""

import asyncio
import math
from enum import Enum, auto
from typing import Any, Final, NamedTuple

from leadplan_bus.tokens import new_token
from leadplan_contracts import LeadToolExecutionResult, ToolRequest
from leadplan_responder import payloads
from leadplan_responder.context import ToolContext
from leadplan_responder.errors import ToolError
from leadplan_responder.limits import RATE_LIMITED
from leadplan_responder.responder import NOT_DONE, Tool

_CLEAN_UP_SECONDS = 1.0
_LONGEST_MESSAGE = 4_000


class Interruption(NamedTuple):
    """Why a handler was cancelled, as the caller is told."""

    message: str
    code: str
    retryable: bool


CANCELLED: Final = Interruption("the plan was cancelled", "cancelled", retryable=False)
STOPPING: Final = Interruption("the responder is stopping and couldn't finish", "stopping", retryable=True)
_OUT_OF_TIME: Final = Interruption("the tool didn't finish within the attempt's time", "timeout", retryable=True)


def failure(message: str, code: str, *, retryable: bool, retry_after_ms: int | None = None) -> LeadToolExecutionResult:
    """A reply that says the step wasn't done; a very long message is cut, so that the reply always fits."""
    text = message.encode(errors="replace").decode()
    return LeadToolExecutionResult(
        success=False,
        error_message=text if len(text) <= _LONGEST_MESSAGE else text[: _LONGEST_MESSAGE - 1] + "…",
        error_code=code,
        retryable=retryable,
        retry_after_ms=retry_after_ms,
    )


def work_was_done(reply: LeadToolExecutionResult) -> bool:
    """Whether the handler did all its work, though what it returned may be something that JSON has no form for."""
    return reply.success or reply.error_code == "bad_result"


class EarlierRuns(Enum):
    """What is known of earlier runs with the same idempotency key, of a tool with effects ``once``."""

    NONE = auto()
    """There were none, or they said that they did nothing."""
    FAILED = auto()
    """One failed for good in an earlier round of the plan. What it did until then only ``resolve`` can tell."""
    IN_DOUBT = auto()
    """One broke off."""


class Execution:
    """One run of a handler, from now on. It ends by itself, at the attempt's deadline or when it is interrupted.

    Args:
        tool: what to run.
        request: the request.
        context: what the handler gets besides its params; it knows the deadline.
        earlier: runs with the request's idempotency key; after some the tool's ``resolve`` is asked first.

    Attributes:
        began: whether any of it has run. Of what was interrupted before that, nobody need doubt that it did nothing.
        ending: whether the handler has been told to stop.
    """

    def __init__(
        self, tool: Tool, request: ToolRequest, context: ToolContext, *, earlier: EarlierRuns = EarlierRuns.NONE
    ) -> None:
        self.began = False
        self.ending = False
        self._context = context
        self._outcome: HandlerOutcome | None = None
        self._interruption: Interruption | None = None
        self._loop = asyncio.get_running_loop()
        self._out_of_time: asyncio.TimerHandle | None = None
        self._must_end: asyncio.Future[None] = self._loop.create_future()
        self._handler = asyncio.create_task(
            self._begin(tool, request, earlier), name=f"handler {request.idempotency_key}"
        )
        self._handler.add_done_callback(lambda _: self._end())

    async def _begin(self, tool: Tool, request: ToolRequest, earlier: EarlierRuns) -> "HandlerOutcome":
        self.began = True
        return await execute_tool(tool, request, self._context, earlier=earlier)

    def interrupt(self, why: Interruption) -> None:
        """Cancel the handler; the first reason counts."""
        self._interruption = self._interruption or why
        self._end()

    def _end(self) -> None:
        if not self._must_end.done():
            self._must_end.set_result(None)

    async def result(self) -> LeadToolExecutionResult:
        """The handler's result; a failure when it had to be cancelled, soon even if it takes no notice of that."""
        try:
            self._look_at_time()
            try:
                await self._must_end
            finally:
                if self._out_of_time is not None:
                    self._out_of_time.cancel()
            if not self._handler.done():
                self._stop()
                await asyncio.wait({self._handler}, timeout=_CLEAN_UP_SECONDS)
        except asyncio.CancelledError:
            self._stop()
            raise
        if self._handler.done() and not self._handler.cancelled():
            outcome = self._handler.result()
            if outcome.reply.success or not self.ending:
                self._outcome = outcome
                return outcome.reply
        why = self._interruption or _OUT_OF_TIME
        return failure(why.message, why.code, retryable=why.retryable)

    def _look_at_time(self) -> None:
        """End it where the attempt's time is over; else look again then, for that may be put off meanwhile."""
        if (seconds := self._context.seconds_left()) > 0:
            self._out_of_time = self._loop.call_later(seconds, self._look_at_time)
        else:
            self._end()

    def _stop(self) -> None:
        self.ending = True
        self._context.cancelled.set()
        self._handler.cancel()

    @property
    def outcome_known(self) -> bool:
        """Whether the handler came to an end of its own, so that its reply says what it did."""
        return self._outcome is not None and self._outcome.known

    @property
    def over(self) -> bool:
        """Whether the handler has really ended."""
        return self._handler.done()

    async def ended(self) -> None:
        """Wait until the handler is really over: one that takes no notice of its cancellation may go on."""
        if not self._handler.done():
            self._context.log.warning("the handler goes on although it was cancelled")
            await asyncio.wait({self._handler})


class HandlerOutcome(NamedTuple):
    """What a handler came to. ``known`` is false where it broke off: nobody can say what it did until then."""

    reply: LeadToolExecutionResult
    known: bool


async def execute_tool(
    tool: Tool, request: ToolRequest, context: ToolContext, *, earlier: EarlierRuns = EarlierRuns.NONE
) -> HandlerOutcome:
    """Run a tool's handler for a request.

    Whatever goes wrong becomes a reply. Of an unexpected exception the caller learns an error id only: its text may
    hold secrets, so the details go to the log.

    Raises:
        asyncio.CancelledError: the task was cancelled.
    """
    try:
        params = payloads.convert(request.params, tool.params_model)
        value = await _work(tool, params, context, earlier)
    except payloads.InvalidPayloadError as error:
        reply = failure(f"the params don't fit {tool.name}: {error}", "invalid_params", retryable=False)
        return HandlerOutcome(reply, known=True)
    except ToolError as error:
        # What can't even find out what happened before leaves that open.
        return HandlerOutcome(_reported(error, tool), known=earlier is not EarlierRuns.IN_DOUBT)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return _unexpected(tool, context, error)  # what the handler waited for was cancelled, not the handler
    except (Exception, SystemExit) as error:  # libraries written for scripts raise the latter
        return _unexpected(tool, context, error)
    try:
        return HandlerOutcome(LeadToolExecutionResult(success=True, data=payloads.encode(value)), known=True)
    except Exception as error:
        error_id = _logged(context, "the handler's result can't be written as JSON", error)
        text = f"{tool.name} returned something that JSON has no form for (error id {error_id})"
        return HandlerOutcome(failure(text, "bad_result", retryable=False), known=True)


def _reported(error: ToolError, tool: Tool) -> LeadToolExecutionResult:
    """What the caller is told of an error that a handler raised.

    A handler that met a provider's limit, which is held now, did nothing wrong: it is to wait, as those are whose
    requests come while the limit is held. As ``busy`` the attempt isn't counted as failed (protocol section 5).
    """
    if error.code == RATE_LIMITED and error.retryable and (held_ms := tool.held_for_ms()) > 0:
        return failure(error.message, "busy", retryable=True, retry_after_ms=held_ms)
    retry_after_ms = _milliseconds(error.retry_after)
    return failure(error.message, error.code, retryable=error.retryable, retry_after_ms=retry_after_ms)


async def _work(tool: Tool, params: Any, context: ToolContext, earlier: EarlierRuns) -> Any:
    if earlier is not EarlierRuns.NONE and tool.resolve is not None:
        value = await tool.resolve(params, context)
        if value is not NOT_DONE:
            return value
    return await tool.handler(params, context)


def _unexpected(tool: Tool, context: ToolContext, error: BaseException) -> HandlerOutcome:
    error_id = _logged(context, "unexpected error in the handler", error)
    text = f"{tool.name} failed unexpectedly (error id {error_id})"
    return HandlerOutcome(failure(text, "internal_error", retryable=True), known=False)


def _logged(context: ToolContext, event: str, error: BaseException) -> str:
    error_id = new_token()
    context.log.error(event, exc_info=error, extra={"error_id": error_id})
    return error_id


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None or not math.isfinite(seconds) else max(0, round(seconds * 1000))
