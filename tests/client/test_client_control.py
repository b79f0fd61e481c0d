"""The client's control requests: repeats, time-outs, refusals and answers that can't be read, over a real server."""

import asyncio
from typing import Any

import pytest
from control_stub import ControlStub, done, problem
from nats.aio.client import Client

from leadplan_bus.connection import close, connect, flush
from leadplan_client import (
    ClientError,
    ConnectionLostError,
    ControlRefusedError,
    ExecutorSilentError,
    InvalidPlanIdError,
    InvalidRequestError,
    NoAnswerError,
    NoExecutorError,
    PlanClient,
    RequestTooLargeError,
    UnknownPlanError,
    UnreadableAnswerError,
    plan_lead_generation,
)
from leadplan_contracts import LeadGenGoal, LeadGenStepResult, LeadGenStepStatus, PlanProblem, SupervisorUserContext
from leadplan_contracts.control import (
    ControlErrorCode,
    ListRequest,
    PlanPage,
    PlanState,
    PlanStatus,
    PlanSummary,
    StepStatus,
    ValidationReport,
)

TIME = "2026-11-23T09:15:02.417Z"
STEERING = ["cancel", "pause", "resume", "retry", "approve", "deny"]


@pytest.fixture
async def stub(nats_url: str) -> Any:
    connection = await connect(nats_url, name="executor")
    stub = ControlStub(connection)
    await stub.start()
    yield stub
    if not connection.is_closed:
        await connection.close()


@pytest.fixture
def client(nc: Client) -> PlanClient:
    return PlanClient(nc, control_seconds=10)


@pytest.mark.parametrize("action", STEERING)
async def test_each_steering_request_says_who_and_why_and_has_an_id(client: PlanClient, stub: ControlStub, action: str):
    reply = await getattr(client, action)("p1", by="ann", reason="wrong town")

    assert (reply.plan_id, reply.changed, reply.state, reply.sequence) == ("p1", True, PlanState.RUNNING, 7)
    ((endpoint, request),) = stub.requests
    assert endpoint == ("approve" if action == "deny" else action)
    assert request.pop("requestId")
    decision = {"approve": {"decision": "approve"}, "deny": {"decision": "deny"}}.get(action, {})
    assert request == {"planId": "p1", "by": "ann", "reason": "wrong town", **decision}


@pytest.mark.parametrize("action", ["retry", "approve", "deny"])
async def test_one_step_can_be_meant(client: PlanClient, stub: ControlStub, action: str):
    stub.answers["retry"] = stub.answers["approve"] = lambda request: done(request, steps=["save"])
    arguments = {"step_id": "save"} if action == "retry" else {}
    reply = await getattr(client, action)("p1", *([] if arguments else ["save"]), **arguments)
    assert reply.steps == ["save"]
    assert stub.requests[0][1]["stepId"] == "save"


async def test_each_call_has_an_id_of_its_own(client: PlanClient, stub: ControlStub):
    await client.retry("p1")
    await client.retry("p1")
    first, second = (request["requestId"] for _, request in stub.requests)
    assert first != second


async def test_the_status_is_read_with_and_without_data(client: PlanClient, stub: ControlStub):
    result = LeadGenStepResult(step_id="a", status=LeadGenStepStatus.PENDING, attempts=0)
    status = PlanStatus(
        plan_id="p1", state=PlanState.RUNNING, steps=[StepStatus(id="a", tool="ECHO", result=result)], sequence=3
    )
    stub.answers["status"] = lambda request: status
    assert await client.status("p1") == status
    await client.status("p1", data=False)
    assert [request for _, request in stub.requests] == [
        {"planId": "p1", "data": True},
        {"planId": "p1", "data": False},
    ]


async def test_a_request_whose_answer_is_lost_is_sent_again_as_the_same(client: PlanClient, stub: ControlStub):
    answers = iter([None, done({"planId": "p1"})])
    stub.answers["retry"] = lambda request: next(answers)
    assert (await client.retry("p1")).changed
    (_, first), (_, second) = stub.requests
    assert first == second


async def test_an_answer_that_comes_after_the_repeat_counts(client: PlanClient, stub: ControlStub):
    """The first request is answered while the second is under way: its work isn't thrown away."""
    asked_again = asyncio.Event()

    async def answer(request: dict[str, Any]) -> Any:
        if len(stub.requests) == 1:
            await asked_again.wait()
            return done(request)
        asked_again.set()
        return None

    stub.answers["cancel"] = answer
    assert (await client.cancel("p1")).changed
    assert len(stub.requests) == 2


async def test_what_can_t_be_done_at_the_moment_is_asked_again(client: PlanClient, stub: ControlStub):
    answers = iter([problem(ControlErrorCode.UNAVAILABLE), problem(ControlErrorCode.UNAVAILABLE)])
    stub.answers["pause"] = lambda request: next(answers, done(request))
    assert (await client.pause("p1")).changed
    assert len(stub.requests) == 3


async def test_what_stays_unavailable_is_told_so(nc: Client, stub: ControlStub):
    stub.answers["pause"] = lambda request: problem(ControlErrorCode.UNAVAILABLE, "send it again")
    with pytest.raises(ControlRefusedError, match="send it again") as raised:
        await PlanClient(nc, control_seconds=0.6).pause("p1")
    assert raised.value.code is ControlErrorCode.UNAVAILABLE
    assert len(stub.requests) > 1


async def test_silence_is_told_with_the_subject(nc: Client, stub: ControlStub):
    stub.answers["cancel"] = lambda request: None
    with pytest.raises(ExecutorSilentError, match=r"no answer came on plans.cancel within 0.2 s"):
        await PlanClient(nc, control_seconds=0.2).cancel("p1")


async def test_without_an_executor_that_is_said(client: PlanClient):
    with pytest.raises(NoExecutorError, match=r"plans.status: start one \(leadplan executor\)"):
        await client.status("p1")


async def test_without_an_executor_that_is_said_within_the_shortest_time_too(nc: Client):
    with pytest.raises(NoExecutorError):
        await PlanClient(nc, control_seconds=0.1).status("p1")


async def test_an_executor_that_comes_in_time_is_waited_for(
    client: PlanClient, nats_url: str, nc: Client, eventually: Any
):
    """As after a restart of the server, when clients are back before executors are."""
    answers = nc.stats["in_msgs"]
    status = asyncio.create_task(client.cancel("p1"))
    await eventually(lambda: nc.stats["in_msgs"] > answers, what="the server's word that nobody is there")
    other = await connect(nats_url, name="executor")
    await ControlStub(other).start()
    assert (await status).changed
    await other.close()


async def test_a_refusal_says_why_in_code_and_words(client: PlanClient, stub: ControlStub):
    stub.answers["cancel"] = lambda request: problem(
        ControlErrorCode.ALREADY_COMPLETED, "plan p1 has ended", plan_id="p1"
    )
    with pytest.raises(ControlRefusedError, match=r"^plan p1 has ended$") as raised:
        await client.cancel("p1")
    assert (raised.value.code, raised.value.plan_id) == (ControlErrorCode.ALREADY_COMPLETED, "p1")
    assert len(stub.requests) == 1, "a refusal isn't asked again"


async def test_a_refusal_lists_what_is_wrong_with_the_request(client: PlanClient, stub: ControlStub):
    problems = [PlanProblem(path="limit", code="invalid_shape", message="Expected `int` >= 1")]
    stub.answers["list"] = lambda request: problem(ControlErrorCode.INVALID_REQUEST, "no request", problems=problems)
    with pytest.raises(ControlRefusedError, match=r"^no request$") as raised:
        await client.plan_page(ListRequest())
    assert raised.value.problems == problems


async def test_a_code_of_a_newer_executor_is_passed_on(client: PlanClient, stub: ControlStub, nc: Client):
    async def refuse(message: Any) -> None:
        headers = {"Nats-Service-Error": "no", "Nats-Service-Error-Code": "409"}
        body = b'{"code": "frozen", "message": "the plan is frozen", "planId": "p1", "since": 3}'
        await nc.publish(message.reply, body, headers=headers)

    await _answer_instead(nc, stub, "cancel", refuse)
    with pytest.raises(ControlRefusedError, match="the plan is frozen") as raised:
        await client.cancel("p1")
    assert raised.value.code == "frozen"


async def _answer_instead(nc: Client, stub: ControlStub, endpoint: str, callback: Any) -> None:
    """Answer beside the stub, which stays silent."""
    stub.answers[endpoint] = lambda request: None
    await nc.subscribe(f"plans.{endpoint}", cb=callback)
    await flush(nc)


@pytest.mark.parametrize("body", [b"", b"oops", b"\xff", b"[]", b"{}"])
async def test_an_error_without_a_readable_body_is_told_from_its_headers(
    client: PlanClient, stub: ControlStub, nc: Client, body: bytes
):
    async def fail(message: Any) -> None:
        headers = {"Nats-Service-Error": "out of memory", "Nats-Service-Error-Code": "500"}
        await nc.publish(message.reply, body, headers=headers)

    await _answer_instead(nc, stub, "cancel", fail)
    with pytest.raises(ControlRefusedError, match="out of memory") as raised:
        await client.cancel("p1")
    assert raised.value.code == "500"


async def test_an_unknown_plan_is_the_same_error_as_elsewhere(client: PlanClient, stub: ControlStub):
    stub.answers["status"] = lambda request: problem(
        ControlErrorCode.UNKNOWN_PLAN, "there is no plan p1", plan_id=request["planId"]
    )
    with pytest.raises(UnknownPlanError, match="there is no plan p1") as raised:
        await client.status("p1")
    assert raised.value.plan_id == "p1"


@pytest.mark.parametrize("body", [b"", b"oops", b"\xff", b"[]", b'{"planId": "p1"}', b"[" * 100_000])
async def test_an_answer_that_can_t_be_read_is_told(client: PlanClient, stub: ControlStub, body: bytes):
    stub.answers["cancel"] = lambda request: body
    with pytest.raises(UnreadableAnswerError, match=r"the answer of plans.cancel can't be read"):
        await client.cancel("p1")


async def test_a_request_that_nobody_would_take_isn_t_sent(client: PlanClient, stub: ControlStub):
    with pytest.raises(InvalidPlanIdError):
        await client.cancel("plans.*")
    with pytest.raises(InvalidRequestError, match=r"reason"):
        await client.cancel("p1", reason="x" * 5000)
    with pytest.raises(InvalidRequestError, match=r"stepId"):
        await client.approve("p1", "no step")
    with pytest.raises(InvalidRequestError, match=r"limit"):
        await client.plan_page(ListRequest(limit=0))
    with pytest.raises(RequestTooLargeError):
        await client.validate_json(b"x" * (client._nc.max_payload + 1))
    assert stub.requests == []


async def test_every_page_is_fetched_and_an_empty_one_is_no_end(client: PlanClient, stub: ControlStub):
    def summary(plan_id: str) -> PlanSummary:
        return PlanSummary(plan_id=plan_id, state=PlanState.RUNNING, changed_at=TIME)

    pages = {
        None: PlanPage(plans=[summary("a"), summary("b")], next="c1"),
        "c1": PlanPage(plans=[], next="c2"),
        "c2": PlanPage(plans=[summary("c")], next=None),
    }
    stub.answers["list"] = lambda request: pages[request.get("cursor")]
    asked = ListRequest(states=[PlanState.RUNNING], text="dent", limit=2)
    assert [plan.plan_id async for plan in client.list_plans(asked)] == ["a", "b", "c"]
    filters = {"states": ["running"], "text": "dent", "limit": 2}
    assert [request for _, request in stub.requests] == [
        filters,
        {**filters, "cursor": "c1"},
        {**filters, "cursor": "c2"},
    ]


async def test_pages_are_fetched_as_they_are_needed(client: PlanClient, stub: ControlStub):
    plan = PlanSummary(plan_id="a", state=PlanState.RUNNING, changed_at=TIME)
    stub.answers["list"] = lambda request: PlanPage(plans=[plan], next=f"{request.get('cursor', '')}x")
    async for _ in client.list_plans():
        if len(stub.requests) == 3:
            break
    assert len(stub.requests) == 3


async def test_a_list_that_never_ends_is_noticed(client: PlanClient, stub: ControlStub):
    stub.answers["list"] = lambda request: PlanPage(plans=[], next="again")
    with pytest.raises(UnreadableAnswerError, match="'again' is that page itself"):
        [plan async for plan in client.list_plans()]
    assert len(stub.requests) == 2


async def test_a_plan_is_validated_as_it_would_be_submitted(client: PlanClient, stub: ControlStub):
    warning = PlanProblem(path="plan.steps[0].tool", code="unknown_tool", message="nobody serves it")
    report = ValidationReport(valid=True, problems=[], warnings=[warning], plan_id="p1")
    stub.answers["validate"] = lambda request: report
    plan = plan_lead_generation(LeadGenGoal(description="Find dentists in Leeds"), {}, plan_id="p1")
    assert await client.validate(plan, SupervisorUserContext(user_id="u_7")) == report
    ((_, request),) = stub.requests
    assert (request["plan"]["id"], request["user"]) == ("p1", {"userId": "u_7"})
    assert await client.validate_json(b"no JSON") == report
    assert stub.requests[1][1] == b"no JSON"


async def test_a_server_that_is_away_is_told(nc: Client, nats_server: Any, stub: ControlStub, eventually: Any):
    nats_server.kill()
    await eventually(lambda: not nc.is_connected)
    with pytest.raises(NoAnswerError):
        await PlanClient(nc, control_seconds=0.5).cancel("p1")
    await close(nc)
    with pytest.raises(ConnectionLostError):
        await PlanClient(nc).cancel("p1")


async def test_a_server_that_comes_back_is_asked_again(
    nats_server: Any, nc: Client, stub: ControlStub, eventually: Any
):
    nats_server.kill()
    await eventually(lambda: not nc.is_connected)
    cancelling = asyncio.create_task(PlanClient(nc, control_seconds=30).cancel("p1"))
    nats_server.start()
    assert (await cancelling).changed


async def test_a_connection_that_is_closed_meanwhile_is_told(client: PlanClient, stub: ControlStub, nc: Client):
    closing: list[asyncio.Task[None]] = []
    stub.answers["cancel"] = lambda request: closing.append(asyncio.create_task(nc.close()))
    with pytest.raises(ConnectionLostError):
        await client.cancel("p1")
    await asyncio.gather(*closing)


async def test_many_calls_at_once_get_each_its_own_answer_and_leave_nothing(client: PlanClient, stub: ControlStub):
    before = len(client._nc._subs)
    replies = await asyncio.gather(*(client.cancel(f"p{number}") for number in range(300)))
    assert [reply.plan_id for reply in replies] == [f"p{number}" for number in range(300)]
    assert len(client._nc._subs) == before


def test_all_are_client_errors():
    for error in (ControlRefusedError, ExecutorSilentError, InvalidRequestError, NoExecutorError, RequestTooLargeError):
        assert issubclass(error, ClientError)
