"""The control endpoints: seeing and steering plans, from any client and whichever executor has the plan.

Every executor serves them. A request that steers goes to whoever holds the plan, by the name in the plan's log. Where
nobody does (the plan only waits, has ended, or its executor has died), a wake message in the queue carries it to an
executor that takes the plan up. Either way the answer comes once the event is stored. Everything can be asked again, so
what comes in between (a plan changes hands, an answer is lost) is simply looked at anew until the time is over.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any, TypeAlias

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from leadplan_bus.errors import BusError
from leadplan_bus.micro_service import Endpoint, MicroService
from leadplan_bus.tokens import new_token
from leadplan_contracts import subjects
from leadplan_contracts.control import (
    HTTP_LIKE_CODE,
    ControlErrorCode,
    ControlProblem,
    ListRequest,
    StatusRequest,
)
from leadplan_contracts.error_codes import RejectionCode
from leadplan_contracts.errors import PlanProblem
from leadplan_contracts.shape import find_shape_problems
from leadplan_contracts.wire import encode, is_nested_too_deep
from leadplan_executor.control_messages import REQUEST_MODELS, Outcome, RefusedError, Steering
from leadplan_executor.core.errors import CoreError
from leadplan_executor.plan_check import PlanCheck
from leadplan_executor.plan_listing import InvalidListRequestError, PlanLister
from leadplan_executor.plan_statuses import PlanStatuses
from leadplan_executor.plan_steering import PlanSteering

log = structlog.get_logger(__name__)

_AT_ONCE = 256
_LONGEST_SECONDS = 12.0

Answer: TypeAlias = Callable[[bytes], Awaitable[bytes]]


class ControlService:
    """Serves the control endpoints on one connection.

    Args:
        nc: the connection.
        service: the micro service that the endpoints belong to.
        steering, statuses, lister, check: what the endpoints are made of.
    """

    def __init__(
        self,
        nc: Client,
        service: MicroService,
        *,
        steering: PlanSteering,
        statuses: PlanStatuses,
        lister: PlanLister,
        check: PlanCheck,
    ) -> None:
        self._nc = nc
        self._service = service
        self._steering = steering
        self._statuses = statuses
        self._lister = lister
        self._check = check
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._answering: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Take requests from now on."""
        await self._steering.start()
        answers: dict[str, tuple[Answer, str, str]] = {
            "status": (self._status, "status-request", "plan-status"),
            "list": (self._list, "list-request", "plan-page"),
            "validate": (self._validate, "plan-submission", "validation-report"),
        }
        for endpoint in Steering:
            answers[endpoint] = (self._steer(endpoint), f"{endpoint}-request", "control-reply")
        for name, (answer, request, reply) in answers.items():
            metadata = {
                subjects.REQUEST_SCHEMA_METADATA: _schema(request),
                subjects.REPLY_SCHEMA_METADATA: _schema(reply),
            }
            await self._service.add_endpoint(name, subjects.plan_control_subject(name), self._taking(answer), metadata)

    async def stop(self) -> None:
        """Take no more requests, and answer those that are under way."""
        await self._service.stop_endpoints()
        if self._answering:
            await asyncio.wait(self._answering, timeout=1.0)
        for task in self._answering:
            task.cancel()

    def _taking(self, answer: Answer) -> Callable[[Msg, Endpoint], None]:
        def take(message: Msg, endpoint: Endpoint) -> None:
            work = self._answer(answer, message, endpoint, time.monotonic_ns())
            task = asyncio.create_task(work, name=f"control request {endpoint.name}")
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

        return take

    async def _answer(self, answer: Answer, message: Msg, endpoint: Endpoint, started_ns: int) -> None:
        try:
            async with self._at_once, asyncio.timeout(_LONGEST_SECONDS):
                body, problem = await answer(message.data), None
        except RefusedError as error:
            problem = error.problem
        except (NatsError, BusError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            problem = ControlProblem(
                code=ControlErrorCode.UNAVAILABLE,
                message=f"the NATS server didn't answer in time ({reason}): try again",
            )
        except (CoreError, msgspec.DecodeError, UnicodeDecodeError) as error:
            problem = ControlProblem(code=ControlErrorCode.INTERNAL, message=f"the plan's log can't be read: {error}")
        except Exception:
            log.exception("answering a control request failed", endpoint=endpoint.name)
            problem = ControlProblem(
                code=ControlErrorCode.INTERNAL, message="answering failed: the executor's log says more"
            )
        headers = None
        if problem is not None:
            body = encode(problem)
            headers = {
                subjects.SERVICE_ERROR_HEADER: f"{problem.code}: {problem.message}",
                subjects.SERVICE_ERROR_CODE_HEADER: str(HTTP_LIKE_CODE.get(problem.code, 409)),
            }
        endpoint.record(started_ns, problem.message if problem is not None else None)
        if message.reply:
            try:
                await self._nc.publish(message.reply, body, headers=headers)
            except NatsError as error:
                log.warning("a control request can't be answered", endpoint=endpoint.name, problem=repr(error))

    async def _status(self, body: bytes) -> bytes:
        request = read_request(body, StatusRequest)
        return self._statuses.fitting(await self._statuses.status(request.plan_id), data=request.data is not False)

    async def _list(self, body: bytes) -> bytes:
        request = read_request(body, ListRequest)
        try:
            return encode(await self._lister.page(request))
        except InvalidListRequestError as error:
            problem = PlanProblem(path=error.path, code=RejectionCode.INVALID_FIELD, message=str(error))
            raise _bad_request([problem], str(error)) from None

    async def _validate(self, body: bytes) -> bytes:
        return encode(await self._check.validate(body))

    def _steer(self, endpoint: Steering) -> Answer:
        async def steer(body: bytes) -> bytes:
            request = read_request(body, REQUEST_MODELS[endpoint])
            if request.request_id is None:
                # So that our own repeats are told from somebody's second request.
                request = msgspec.structs.replace(request, request_id=new_token())
            outcome = await self._steering.steer(endpoint, request)
            return encode(_reply_of(outcome))

        return steer


def _reply_of(outcome: Outcome) -> Any:
    if outcome.problem is not None:
        raise RefusedError(outcome.problem)
    return outcome.reply


def read_request(body: bytes, model: Any) -> Any:
    """Read a request; an empty body counts as an empty object.

    Raises:
        RefusedError: it isn't one; every problem is listed.
    """
    try:
        (body or b"{}").decode()
        if is_nested_too_deep(body):
            raise _bad_request([], "nested too deep")
        return msgspec.json.decode(body or b"{}", type=model)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _bad_request(_shape_problems(body, model), str(error)) from None


def _bad_request(problems: list[PlanProblem], reason: str) -> RefusedError:
    listed = "; ".join(f"{one.path or 'request'}: {one.message}" for one in problems) or reason
    message = f"no valid request: {listed}"[:1_000]
    return RefusedError(
        ControlProblem(code=ControlErrorCode.INVALID_REQUEST, message=message, problems=problems or None)
    )


def _shape_problems(body: bytes, model: Any) -> list[PlanProblem]:
    try:
        return find_shape_problems(msgspec.json.decode(body or b"{}"), model)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


def _schema(name: str) -> str:
    """The generated JSON Schema of a model, compact."""
    text = (files("leadplan_contracts") / "json" / f"{name}.schema.json").read_text(encoding="utf-8")
    return json.dumps(json.loads(text), separators=(",", ":"))
