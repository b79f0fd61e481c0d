"""Asking the control endpoints of ``leadplan-executor``: a request that is sent again until an answer comes.

Every request is idempotent (protocol section 1), so one whose answer is late or lost is simply sent again, to whichever
executor takes it, and the first answer counts.
"""

import asyncio
from typing import TypeVar

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import BadSubscriptionError, ConnectionClosedError
from nats.errors import TimeoutError as NatsTimeoutError

from leadplan_bus.limits import encoded_size
from leadplan_client.errors import (
    ClientError,
    ConnectionLostError,
    ControlRefusedError,
    ExecutorSilentError,
    InvalidRequestError,
    NoAnswerError,
    NoExecutorError,
    RequestTooLargeError,
    UnknownPlanError,
    UnreadableAnswerError,
)
from leadplan_contracts import PlanProblem
from leadplan_contracts.control import ControlErrorCode
from leadplan_contracts.subjects import (
    SERVICE_ERROR_CODE_HEADER,
    SERVICE_ERROR_HEADER,
    STATUS_HEADER,
    plan_control_subject,
)
from leadplan_contracts.wire import WireModel, encode

T = TypeVar("T")

DEFAULT_CONTROL_SECONDS = 15.0

_PATIENCE_SECONDS = 2.0
"""So long an answer is waited for before the request is sent again. Not longer each time: an executor that stands still
is still given requests, as many as the others, and one that is well must be among those who are asked in time."""
_PAUSE_SECONDS = 0.25
"""Before a request is sent again that nobody took, or that nobody could carry out at that moment."""
_NO_EXECUTOR_SECONDS = 1.0
"""Nobody serves the endpoints for so long: no executor runs. After a restart of the server they need a moment."""
_NO_RESPONDERS = "503"
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Problem(WireModel, kw_only=True, frozen=True):
    """A ``ControlProblem`` whose code may be one that only newer executors know."""

    code: str
    message: str
    plan_id: str | None = None
    problems: list[PlanProblem] | None = None


_problem_decoder = msgspec.json.Decoder(_Problem)


class ControlEndpoints:
    """The control endpoints, asked on one connection.

    Args:
        nc: the connection.
        seconds: how long an answer is waited for in all, repeats included.
    """

    def __init__(self, nc: Client, seconds: float = DEFAULT_CONTROL_SECONDS) -> None:
        self._nc = nc
        self._seconds = seconds

    async def ask(self, endpoint: str, request: WireModel, reply_type: type[T]) -> T:
        """Send a request and read the answer; ``PlanControl`` says what is raised."""
        body = encode(request)
        try:
            msgspec.json.decode(body, type=type(request))
        except msgspec.ValidationError as error:
            raise InvalidRequestError(endpoint, str(error)) from None
        return await self.ask_json(endpoint, body, reply_type)

    async def ask_json(self, endpoint: str, body: bytes, reply_type: type[T]) -> T:
        """Like ``ask``, for a request that is JSON already; nothing of it is checked here."""
        size = encoded_size(body, None)
        if size > self._nc.max_payload:
            raise RequestTooLargeError(size, self._nc.max_payload)
        inbox = self._nc.new_inbox()
        try:
            subscription = await self._nc.subscribe(inbox)
        except ConnectionClosedError:
            raise ConnectionLostError from None
        try:
            answer = await _Call(self._nc, endpoint, body, subscription, self._seconds).answer()
        except (ConnectionClosedError, BadSubscriptionError):
            raise ConnectionLostError from None
        finally:
            if not self._nc.is_closed:
                await subscription.unsubscribe()
        try:
            return msgspec.json.decode(answer, type=reply_type)
        except _UNREADABLE as error:
            raise UnreadableAnswerError(endpoint, str(error)) from error


class _Call:
    """One request, however often it is sent: all of its answers come to the same inbox."""

    def __init__(self, nc: Client, endpoint: str, body: bytes, answers: Subscription, seconds: float) -> None:
        self._nc = nc
        self._endpoint = endpoint
        self._body = body
        self._answers = answers
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._ends_at = self._loop.time() + seconds
        self._unserved_since: float | None = None
        self._unavailable: ClientError | None = None

    async def answer(self) -> bytes:
        """The body of the first answer that settles the request."""
        wait = await self._send()
        while (left := self._ends_at - self._loop.time()) > 0:
            try:
                message = await self._answers.next_msg(min(wait, left))
            except NatsTimeoutError:
                if wait > _PAUSE_SECONDS:
                    self._unserved_since = None  # somebody has it: else the server had said so
                wait = await self._send()
                continue
            if _is_from_nobody(message):
                wait = self._note_that_nobody_serves()
                continue
            refusal = _refusal(message)
            if refusal is None:
                return message.data
            if not _is_unavailable(refusal):
                raise refusal
            self._unavailable, wait = refusal, _PAUSE_SECONDS
        raise self._unavailable or self._silence()

    async def _send(self) -> float:
        """Send the request, and say for how long to wait then."""
        if not self._nc.is_connected:  # what is sent now would wait in a buffer, and arrive when nobody asks any more
            if self._nc.is_closed:
                raise ConnectionLostError
            return _PAUSE_SECONDS
        await self._nc.publish(plan_control_subject(self._endpoint), self._body, reply=self._answers.subject)
        return _PATIENCE_SECONDS

    def _note_that_nobody_serves(self) -> float:
        now = self._loop.time()
        if self._unserved_since is None:
            self._unserved_since = now
        if now - self._unserved_since >= _NO_EXECUTOR_SECONDS:
            raise self._unavailable or NoExecutorError(plan_control_subject(self._endpoint))
        return _PAUSE_SECONDS

    def _silence(self) -> ClientError:
        if not self._nc.is_connected:
            return NoAnswerError()
        if self._unserved_since is not None:
            return NoExecutorError(plan_control_subject(self._endpoint))
        return ExecutorSilentError(plan_control_subject(self._endpoint), self._seconds)


def _is_from_nobody(message: Msg) -> bool:
    return not message.data and (message.headers or {}).get(STATUS_HEADER) == _NO_RESPONDERS


def _is_unavailable(refusal: ClientError) -> bool:
    return isinstance(refusal, ControlRefusedError) and refusal.code == ControlErrorCode.UNAVAILABLE


def _refusal(message: Msg) -> ClientError | None:
    """The error that an answer tells, None where it tells none."""
    headers = message.headers or {}
    if SERVICE_ERROR_CODE_HEADER not in headers and SERVICE_ERROR_HEADER not in headers:
        return None
    try:
        problem = _problem_decoder.decode(message.data)
    except _UNREADABLE:
        # A micro service has to send no body: the headers are all there is.
        text = headers.get(SERVICE_ERROR_HEADER) or "an error without a description"
        return ControlRefusedError(headers.get(SERVICE_ERROR_CODE_HEADER, ""), text)
    if problem.code == ControlErrorCode.UNKNOWN_PLAN and problem.plan_id is not None:
        return UnknownPlanError(problem.plan_id, problem.message)
    return ControlRefusedError(_known(problem.code), problem.message, problem.plan_id, problem.problems or [])


def _known(code: str) -> ControlErrorCode | str:
    try:
        return ControlErrorCode(code)
    except ValueError:
        return code
