"""What a handler may count on, the same over NATS and in ``testing.call_tool``."""

import asyncio
import json
import logging
import math
from collections.abc import Awaitable, Callable
from datetime import date
from enum import StrEnum
from typing import Any, Literal

import msgspec
import pydantic
import pytest
from pydantic.alias_generators import to_camel

from leadplan_responder import Responder, ToolContext, ToolError
from leadplan_responder.testing import call_tool

SECRET = "sk-do-not-show"


class Answer(msgspec.Struct, rename="camel"):
    """A reply as either way brings it, and the progress before it."""

    reply: dict[str, Any]
    progress: list[Any]


Ask = Callable[..., Awaitable[Answer]]


@pytest.fixture(params=["over NATS", "call_tool"])
def ask(request: pytest.FixtureRequest, serve: Any, caller: Any) -> Ask:
    async def over_nats(responder: Responder, params: Any, *, prior: Any = None, timeout_ms: int = 30_000) -> Answer:
        await serve(responder)
        results = {
            name: {"stepId": name, "status": "succeeded", "attempts": 1, "data": data}
            for name, data in (prior or {}).items()
        }
        asked = await caller.start("TOOL", params, priorResults=results, timeoutMs=timeout_ms)
        return Answer(await asked.reply(), [sign for sign in asked.signs if sign is not None])

    async def in_call_tool(responder: Responder, params: Any, *, prior: Any = None, timeout_ms: int = 30_000) -> Answer:
        call = await call_tool(responder, "TOOL", params, prior_results=prior, timeout_ms=timeout_ms)
        progress = [{"progress": fraction, "message": message} for fraction, message in call.progress]
        present = [{key: value for key, value in one.items() if value is not None} for one in progress]
        return Answer(json.loads(msgspec.json.encode(call.result)), present)

    return over_nats if request.param == "over NATS" else in_call_tool


def responder_with(handler: Any, **options: Any) -> Responder:
    responder = Responder("tester", version="1.0.0", description="Runs one handler")
    responder.tool("TOOL", **{"effects": "none", **options})(handler)
    return responder


class Size(StrEnum):
    SMALL = "small"


class SearchStruct(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    max_results: int
    size: Size = Size.SMALL
    mode: Literal["fast", "slow"] = "fast"
    by_year: dict[int, str] = {}
    since: date | None = None


class SearchModel(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", strict=True, frozen=True
    )
    max_results: int
    size: Size = Size.SMALL
    mode: Literal["fast", "slow"] = "fast"
    by_year: dict[int, str] = {}
    since: date | None = None


@pytest.mark.parametrize("model", [SearchStruct, SearchModel])
class TestParams:
    async def test_arrive_as_the_model(self, ask: Ask, model: Any):
        seen: list[Any] = []

        async def handler(params: model, ctx: ToolContext) -> None:
            seen.append(params)

        params = {"maxResults": 3, "size": "small", "byYear": {"2024": "x"}, "since": "2024-05-06"}
        answer = await ask(responder_with(handler), params)
        assert answer.reply == {"success": True, "data": None}
        assert seen == [model(max_results=3, size=Size.SMALL, by_year={2024: "x"}, since=date(2024, 5, 6))]

    @pytest.mark.parametrize(
        ("params", "field"),
        [
            ({}, "maxResults"),
            ({"maxResults": SECRET}, "maxResults"),
            ({"maxResults": 1, "size": SECRET}, "size"),
            ({"maxResults": 1, "mode": f"{SECRET} - at `$.x`"}, "mode"),
            ({"maxResults": 1, "since": SECRET}, "since"),
            ({"maxResults": 1, "byYear": {"1": {"secret": SECRET}}}, "byYear"),
            ({"maxResults": 1, "unknownField": SECRET}, "unknownField"),
        ],
    )
    async def test_that_do_not_fit_are_named_and_not_shown(self, ask: Ask, model: Any, params: Any, field: str):
        async def handler(params: model, ctx: ToolContext) -> None:
            raise AssertionError("must not run")

        reply = (await ask(responder_with(handler), params)).reply
        assert (reply["success"], reply["errorCode"], reply["retryable"]) == (False, "invalid_params", False)
        assert field in reply["errorMessage"]
        assert SECRET not in reply["errorMessage"]


async def test_many_wrong_params_make_a_short_message(ask: Ask):
    class Domains(pydantic.BaseModel):
        domains: list[int]

    async def handler(params: Domains, ctx: ToolContext) -> None:
        raise AssertionError("must not run")

    reply = (await ask(responder_with(handler), {"domains": ["x"] * 10_000})).reply
    assert "domains.9:" in reply["errorMessage"]
    assert reply["errorMessage"].endswith("and 9990 more")


async def test_a_broken_validator_is_an_unexpected_error(ask: Ask):
    class Broken(pydantic.BaseModel):
        name: str

        @pydantic.field_validator("name")
        @classmethod
        def look_up(cls, name: str) -> str:
            raise KeyError(name)

    async def handler(params: Broken, ctx: ToolContext) -> None:
        raise AssertionError("must not run")

    reply = (await ask(responder_with(handler), {"name": SECRET})).reply
    assert reply["errorCode"] == "internal_error"
    assert SECRET not in reply["errorMessage"]


async def test_pydantic_results_use_their_aliases_and_leave_out_none(ask: Ask):
    class Place(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(alias_generator=to_camel, populate_by_name=True)
        place_id: str
        phone: str | None = None

    async def handler(params: dict, ctx: ToolContext) -> dict[str, Any]:
        return {"places": [Place(place_id="a"), Place(place_id="b", phone="1")], "since": date(2024, 5, 6)}

    reply = (await ask(responder_with(handler), {})).reply
    places = [{"placeId": "a"}, {"placeId": "b", "phone": "1"}]
    assert reply == {"success": True, "data": {"places": places, "since": "2024-05-06"}}


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        (ToolError("no credits"), {"errorCode": "tool_error", "retryable": True}),
        (
            ToolError("slow down", code="rate_limited", retry_after=1.5),
            {"errorCode": "rate_limited", "retryable": True, "retryAfterMs": 1500},
        ),
        (ToolError("bad key", code="unauthorized", retryable=False), {"errorCode": "unauthorized", "retryable": False}),
        (ToolError("late", retry_after=-3), {"errorCode": "tool_error", "retryable": True, "retryAfterMs": 0}),
        (ToolError("never", retry_after=math.inf), {"errorCode": "tool_error", "retryable": True}),
        (ToolError("unknown", retry_after=math.nan), {"errorCode": "tool_error", "retryable": True}),
    ],
    ids=lambda value: str(value) if isinstance(value, ToolError) else "",
)
async def test_a_tool_error_becomes_the_reply(ask: Ask, error: ToolError, fields: dict[str, Any]):
    async def handler(params: dict, ctx: ToolContext) -> None:
        raise error

    reply = (await ask(responder_with(handler), {})).reply
    assert reply == {"success": False, "errorMessage": error.message, **fields}


async def test_an_error_message_of_any_form_reaches_the_caller(ask: Ask):
    async def handler(params: dict, ctx: ToolContext) -> None:
        raise ToolError("\ud800" + "x" * 2_000_000)

    reply = (await ask(responder_with(handler), {})).reply
    assert reply["errorCode"] == "tool_error"
    assert reply["errorMessage"].startswith("?xxx")
    assert len(reply["errorMessage"]) == 4000


class _Uncommon(BaseException):
    pass


@pytest.mark.parametrize("error", [ValueError(SECRET), SystemExit(SECRET), asyncio.CancelledError(SECRET)], ids=repr)
@pytest.mark.parametrize("effects", ["none", "idempotent", "once"])
async def test_an_unexpected_exception_stays_in_the_log(
    ask: Ask, caplog: pytest.LogCaptureFixture, error: BaseException, effects: str
):
    async def handler(params: dict, ctx: ToolContext) -> None:
        raise error

    reply = (await ask(responder_with(handler, effects=effects), {})).reply
    assert (reply["success"], reply["errorCode"], reply["retryable"]) == (False, "internal_error", True)
    assert SECRET not in json.dumps(reply)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    fields = vars(record)
    assert fields["error_id"] in reply["errorMessage"]
    assert (fields["step_id"], fields["attempt"]) == (fields["step_id"], 1)
    assert record.exc_info is not None
    assert record.exc_info[1] is error


class Unwritable:
    def __repr__(self) -> str:
        return SECRET


def _circular() -> list[Any]:
    circle: list[Any] = []
    circle.append(circle)
    return circle


@pytest.mark.parametrize(
    "value", [Unwritable(), {"deep": [Unwritable()]}, {(1, 2): 3}, "\ud800", _circular()], ids=range(5)
)
async def test_a_result_that_is_no_json_is_told_and_not_repeated(ask: Ask, value: Any):
    async def handler(params: dict, ctx: ToolContext) -> Any:
        return value

    reply = (await ask(responder_with(handler), {})).reply
    assert (reply["success"], reply["errorCode"], reply["retryable"]) == (False, "bad_result", False)
    assert "TOOL returned something that JSON has no form for (error id " in reply["errorMessage"]
    assert SECRET not in json.dumps(reply)


async def test_progress_is_brought_between_0_and_1(ask: Ask):
    async def handler(params: dict, ctx: ToolContext) -> None:
        await ctx.progress(-3, "starting")
        await ctx.progress(0.4)
        await ctx.progress(message="no number")
        await ctx.progress(17.5)
        await ctx.progress(math.nan)

    answer = await ask(responder_with(handler), {})
    assert answer.progress == [
        {"progress": 0.0, "message": "starting"},
        {"progress": 0.4},
        {"message": "no number"},
        {"progress": 1.0},
        {"progress": 0.0},
    ]


async def test_a_handler_is_cancelled_at_its_deadline(ask: Ask):
    cleaned_up = asyncio.Event()

    async def handler(params: dict, ctx: ToolContext) -> None:
        assert 0 < ctx.seconds_left() <= 0.05
        try:
            await asyncio.Event().wait()
        finally:
            cleaned_up.set()

    reply = (await ask(responder_with(handler), {}, timeout_ms=50)).reply
    assert (reply["errorCode"], reply["retryable"]) == ("timeout", True)
    assert cleaned_up.is_set()


async def test_what_was_finished_in_spite_of_the_cancellation_counts(ask: Ask):
    async def handler(params: dict, ctx: ToolContext) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "committed just in time"
        raise AssertionError

    reply = (await ask(responder_with(handler), {}, timeout_ms=20)).reply
    assert reply == {"success": True, "data": "committed just in time"}


async def test_an_error_while_being_cancelled_is_a_timeout_all_the_same(ask: Ask):
    async def handler(params: dict, ctx: ToolContext) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise RuntimeError("the driver turned the cancellation into an error") from None

    reply = (await ask(responder_with(handler), {}, timeout_ms=20)).reply
    assert reply["errorCode"] == "timeout"


async def test_a_handler_that_ignores_its_cancellation_keeps_nobody_waiting(ask: Ask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("leadplan_responder.execution._CLEAN_UP_SECONDS", 0.02)
    released = asyncio.Event()

    async def handler(params: dict, ctx: ToolContext) -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    reply = (await ask(responder_with(handler), {}, timeout_ms=20)).reply
    assert reply["errorCode"] == "timeout"
    released.set()


class Places(msgspec.Struct):
    places: list[str]


class PlacesModel(pydantic.BaseModel):
    places: list[str]


@pytest.mark.parametrize("model", [Places, PlacesModel, dict, dict[str, list[str]]])
async def test_data_of_earlier_steps_comes_as_the_type_asked_for(ask: Ask, model: Any):
    seen: list[Any] = []

    async def handler(params: dict, ctx: ToolContext) -> None:
        seen.append(await ctx.prior_data("search", model))

    answer = await ask(responder_with(handler), {}, prior={"search": {"places": ["a", "b"]}})
    assert answer.reply["success"], answer.reply
    if isinstance(model, type) and model is not dict:
        assert isinstance(seen[0], model)
    assert (seen[0]["places"] if isinstance(seen[0], dict) else seen[0].places) == ["a", "b"]


@pytest.mark.parametrize(
    ("prior", "code", "text"),
    [
        ({}, "missing_source", "step 'search' isn't among the steps before this one"),
        ({"search": None}, "missing_source", "step 'search' has no data (succeeded)"),
        ({"search": {"places": 5}}, "unreadable_source", "places"),
        ({"search": [SECRET]}, "unreadable_source", "step 'search'"),
    ],
)
@pytest.mark.parametrize("model", [Places, PlacesModel])
async def test_data_that_is_missing_or_does_not_fit_is_a_clear_error(
    ask: Ask, model: Any, prior: Any, code: str, text: str
):
    async def handler(params: dict, ctx: ToolContext) -> None:
        await ctx.prior_data("search", model)

    reply = (await ask(responder_with(handler), {}, prior=prior)).reply
    assert (reply["errorCode"], reply["retryable"]) == (code, False)
    assert text in reply["errorMessage"]
    assert SECRET not in reply["errorMessage"]


async def test_the_context_tells_what_the_request_said(ask: Ask, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    seen: dict[str, Any] = {}

    async def handler(params: dict, ctx: ToolContext) -> None:
        seen.update(plan=ctx.plan, tool=ctx.tool, attempt=ctx.attempt, key=ctx.idempotency_key, user=ctx.user.user_id)
        seen["same plan"] = ctx.plan is ctx.plan
        ctx.log.info("looked", extra={"places": 3})

    await ask(responder_with(handler), {})
    assert seen["plan"]["id"] == seen["key"].partition(":")[0]
    assert (seen["tool"], seen["attempt"], seen["same plan"]) == ("TOOL", 1, True)
    assert seen["user"].startswith("u_")
    (record,) = [record for record in caplog.records if record.getMessage() == "looked"]
    assert record.name == "leadplan.tool.TOOL"
    assert (vars(record)["places"], vars(record)["attempt"]) == (3, 1)
    assert {"plan_id", "step_id"} <= set(vars(record))
