"""Checkpoints: finished work that outlives an attempt, for as long as another attempt can want it."""

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import msgspec
import pydantic
import pytest
from nats.js.errors import NotFoundError

from leadplan_bus.stored_messages import read_subject
from leadplan_responder import Responder, ToolContext, ToolError
from leadplan_responder.testing import call_tool

STREAM = "KV_TOOL_CHECKPOINTS"
ADDRESS = "ada@people.example"


class Finding(msgspec.Struct):
    email: str
    score: int = 0


class Searcher:
    """A tool that finds something for each name, keeps it, and can be made to end in the middle."""

    def __init__(self, effects: Any = "none", in_doubt: Any = "fail") -> None:
        self.worked: list[str] = []
        self.ending: BaseException | None = None
        self.after: str | None = None
        self.reached = asyncio.Event()
        self.hangs = False
        self.model: Any = Finding
        self.responder = Responder("searcher", version="1.0.0", description="Searches")

        @self.responder.tool("SEARCH", effects=effects, in_doubt=in_doubt)
        async def search(params: dict, ctx: ToolContext) -> dict[str, Any]:
            done = await ctx.checkpoint.load(self.model)
            for name in params["names"]:
                if name in done:
                    continue
                self.worked.append(name)
                done[name] = Finding(f"{name}@people.example", len(name))
                await ctx.checkpoint.keep(name, done[name])
                if name == self.after:
                    await self._end()
            return done

    async def _end(self) -> None:
        self.reached.set()
        if self.hangs:
            await asyncio.Event().wait()
        if self.ending is not None:
            raise self.ending


PARAMS = {"names": ["ada", "ben", "cy"]}
FOUND = {name: {"email": f"{name}@people.example", "score": len(name)} for name in PARAMS["names"]}


@pytest.fixture
def items(nc: Any) -> Callable[[], Any]:
    """How many items are stored."""

    async def count() -> int:
        try:
            return (await nc.jetstream().stream_info(STREAM)).state.messages
        except NotFoundError:
            return 0

    return count


@pytest.fixture
def none_left(items: Any, eventually: Any) -> Callable[[], Any]:
    async def gone() -> bool:
        return await items() == 0

    return lambda: eventually(gone, what="the items are deleted")


async def test_the_next_attempt_on_another_replica_goes_on_where_this_one_ended(
    serve: Any, caller: Any, items: Any, none_left: Any
):
    first, second = Searcher(), Searcher()
    first.after, first.ending = "ben", ToolError("the line broke")
    serving = await serve(first.responder)
    assert (await caller.ask("SEARCH", PARAMS))["errorMessage"] == "the line broke"
    assert (first.worked, await items()) == (["ada", "ben"], 2)
    await serving.stop()
    await serve(second.responder)
    assert (await caller.ask("SEARCH", PARAMS, attempt=2))["data"] == FOUND
    assert second.worked == ["cy"]
    await none_left()


async def test_a_stopped_replica_leaves_what_it_finished(serve: Any, caller: Any):
    first, second = Searcher(), Searcher()
    first.after, first.hangs = "ada", True
    serving = await serve(first.responder)
    asked = await caller.start("SEARCH", PARAMS)
    await first.reached.wait()
    await serving.stop()
    assert (await asked.reply())["errorCode"] == "stopping"
    await serve(second.responder)
    assert (await caller.ask("SEARCH", PARAMS))["data"] == FOUND
    assert second.worked == ["ben", "cy"]


@pytest.mark.parametrize(
    "ending",
    [
        ToolError("not now", code="service_unavailable"),
        ValueError("unexpected"),
        ToolError("slow down", code="rate_limited", retry_after=1),
    ],
    ids=["retryable", "unexpected", "rate limited"],
)
async def test_items_stay_while_another_attempt_may_come(serve: Any, caller: Any, items: Any, ending: Exception):
    searcher = Searcher()
    searcher.after, searcher.ending = "ada", ending
    serving = await serve(searcher.responder)
    assert (await caller.ask("SEARCH", PARAMS))["retryable"] is True
    await serving.stop()  # whatever it would have deleted is deleted by now
    assert await items() == 1


async def test_items_stay_after_a_time_out(serve: Any, caller: Any, items: Any):
    searcher = Searcher()
    searcher.after, searcher.hangs = "ben", True
    serving = await serve(searcher.responder)
    assert (await caller.ask("SEARCH", PARAMS, timeoutMs=300))["errorCode"] == "timeout"
    await serving.stop()
    assert await items() == 2


async def test_a_retried_plan_goes_on_where_its_step_failed_for_good(
    serve: Any, caller: Any, items: Any, none_left: Any
):
    searcher = Searcher()
    searcher.after, searcher.ending = "ben", ToolError("no such list", retryable=False)
    serving = await serve(searcher.responder)
    assert (await caller.ask("SEARCH", PARAMS))["retryable"] is False
    await serving.stop()  # whatever it would have deleted is deleted by now
    assert await items() == 2
    again = Searcher()
    await serve(again.responder)
    assert (await caller.ask("SEARCH", PARAMS, round=2))["data"] == FOUND
    assert again.worked == ["cy"]
    await none_left()


async def test_a_retried_plan_goes_on_where_it_was_cancelled(serve: Any, caller: Any, none_left: Any):
    searcher = Searcher()
    searcher.after, searcher.hangs = "ben", True
    await serve(searcher.responder)
    asked = await caller.start("SEARCH", PARAMS)
    await searcher.reached.wait()
    await caller.cancel("SEARCH", "s1")
    assert (await asked.reply())["errorCode"] == "cancelled"
    await caller.cancel("SEARCH", "s1")
    assert (await caller.ask("SEARCH", PARAMS, round=2))["data"] == FOUND
    assert searcher.worked == ["ada", "ben", "cy"]
    await none_left()


async def test_only_the_items_of_the_step_are_deleted(serve: Any, caller: Any, items: Any, eventually: Any):
    searcher = Searcher()
    searcher.after, searcher.ending = "ben", ToolError("not now")
    await serve(searcher.responder)
    await caller.ask("SEARCH", PARAMS, stepId="other")
    searcher.ending = None
    await caller.ask("SEARCH", PARAMS)

    async def two_left() -> bool:
        return await items() == 2

    await eventually(two_left)
    searcher.worked.clear()
    assert (await caller.ask("SEARCH", PARAMS, stepId="other", attempt=2))["data"] == FOUND
    assert searcher.worked == ["cy"]


async def test_other_params_find_nothing(serve: Any, caller: Any):
    searcher = Searcher()
    searcher.after, searcher.ending = "ben", ToolError("not now")
    await serve(searcher.responder)
    await caller.ask("SEARCH", PARAMS)
    searcher.ending = None
    searcher.worked.clear()
    await caller.ask("SEARCH", {**PARAMS, "country": "GB"}, attempt=2)
    assert searcher.worked == ["ada", "ben", "cy"]


async def test_the_order_of_keys_in_the_params_is_no_matter(serve: Any, caller: Any):
    searcher = Searcher()
    searcher.after, searcher.ending = "ben", ToolError("not now")
    await serve(searcher.responder)
    await caller.ask("SEARCH", {**PARAMS, "deep": {"a": 1, "b": [{"c": 1, "d": 2}]}})
    searcher.ending = None
    searcher.worked.clear()
    await caller.ask("SEARCH", {"deep": {"b": [{"d": 2, "c": 1}], "a": 1}, **PARAMS}, attempt=2)
    assert searcher.worked == ["cy"]


class Found(pydantic.BaseModel):
    email: str = pydantic.Field(alias="mailAddress")


async def test_what_does_not_fit_the_model_is_left_out_and_no_value_is_logged(
    serve: Any, caller: Any, caplog: pytest.LogCaptureFixture
):
    searcher = Searcher()
    searcher.after, searcher.ending = "ben", ToolError("not now")
    await serve(searcher.responder)
    await caller.ask("SEARCH", PARAMS)
    searcher.model, searcher.after = Found, None
    searcher.worked.clear()
    assert (await caller.ask("SEARCH", PARAMS, attempt=2))["success"]
    assert searcher.worked == ["ada", "ben", "cy"], "an item of another shape is work to be done again"
    assert sum("is left out" in line for line in caplog.messages) == 2
    assert "people.example" not in caplog.text
    assert "ada" not in caplog.text


def keeping(work: Callable[[ToolContext], Any]) -> Responder:
    responder = Responder("keeper", version="1.0.0", description="Keeps")

    @responder.tool("KEEP", effects="none")
    async def keep(params: dict, ctx: ToolContext) -> Any:
        return await work(ctx)

    return responder


async def test_an_item_that_is_kept_again_takes_the_place_of_the_first(serve: Any, caller: Any, items: Any):
    async def work(ctx: ToolContext) -> Any:
        before = await ctx.checkpoint.load(int)
        await ctx.checkpoint.keep("a", 1)
        await ctx.checkpoint.keep("b", 2)
        await ctx.checkpoint.keep("a", 3)
        raise ToolError(json.dumps([before, await ctx.checkpoint.load(int)]))

    await serve(keeping(work))
    assert json.loads((await caller.ask("KEEP"))["errorMessage"]) == [{}, {"a": 3, "b": 2}]
    assert await items() == 2
    assert json.loads((await caller.ask("KEEP"))["errorMessage"])[0] == {"a": 3, "b": 2}


async def test_models_and_json_values_come_back_as_they_were(serve: Any, caller: Any):
    async def work(ctx: ToolContext) -> Any:
        await ctx.checkpoint.keep("a pydantic model", Found(mailAddress=ADDRESS))
        loaded = await ctx.checkpoint.load(Found)
        await ctx.checkpoint.keep("a pydantic model", None)
        await ctx.checkpoint.keep("a struct", Finding("x"))
        await ctx.checkpoint.keep(" * > ü.\n", [1, {"deep": None}])
        everything = await ctx.checkpoint.load(object)
        return [loaded["a pydantic model"], everything]

    await serve(keeping(work))
    everything = {"a pydantic model": None, "a struct": {"email": "x", "score": 0}, " * > ü.\n": [1, {"deep": None}]}
    assert (await caller.ask("KEEP"))["data"] == [{"mailAddress": ADDRESS}, everything]


async def test_many_items_are_read_in_one_go(serve: Any, caller: Any):
    async def work(ctx: ToolContext) -> Any:
        await asyncio.gather(*(ctx.checkpoint.keep(str(number), number) for number in range(1_200)))
        return len(await ctx.checkpoint.load(int))

    await serve(keeping(work))
    assert (await caller.ask("KEEP"))["data"] == 1_200


async def test_no_name_stands_in_a_subject(serve: Any, caller: Any, nc: Any):
    async def work(ctx: ToolContext) -> Any:
        await ctx.checkpoint.keep(ADDRESS, 1)
        raise ToolError("not now")

    await serve(keeping(work))
    await caller.ask("KEEP", {"who": ADDRESS}, stepId="people")
    subjects = (await nc.jetstream().stream_info(STREAM, subjects_filter=">")).state.subjects
    (subject,) = subjects
    assert len(subject) == len("$KV.TOOL_CHECKPOINTS.") + 3 * 32 + 2
    assert not set(subject.removeprefix("$KV.TOOL_CHECKPOINTS.")) - set("0123456789abcdef.")
    (stored,) = await read_subject(nc, STREAM, subject)
    assert json.loads(stored.body) == {"item": ADDRESS, "value": 1}


async def test_the_bucket_keeps_items_for_a_week(serve: Any, caller: Any, nc: Any):
    async def work(ctx: ToolContext) -> Any:
        await ctx.checkpoint.keep("a", 1)

    await serve(keeping(work))
    await caller.ask("KEEP")
    config = (await nc.jetstream().stream_info(STREAM)).config
    assert (config.max_age, config.max_msgs_per_subject, config.allow_direct) == (7 * 86_400.0, 1, True)


async def test_one_who_never_asks_pays_nothing(serve: Any, caller: Any, nc: Any):
    seen: list[str] = []

    async def note(message: Any) -> None:
        seen.append(message.subject)

    async def work(ctx: ToolContext) -> Any:
        return "done"

    await nc.subscribe("$JS.API.>", cb=note)
    await nc.subscribe("$KV.>", cb=note)
    serving = await serve(keeping(work))
    assert (await caller.ask("KEEP"))["data"] == "done"
    await caller.cancel("KEEP", "s1")
    await serving.stop()
    assert seen == []


async def test_loading_alone_creates_no_bucket(serve: Any, caller: Any, nc: Any):
    async def work(ctx: ToolContext) -> Any:
        return await ctx.checkpoint.load(int)

    await serve(keeping(work))
    assert (await caller.ask("KEEP"))["data"] == {}
    with pytest.raises(NotFoundError):
        await nc.jetstream().stream_info(STREAM)


async def keep_five(ctx: ToolContext) -> Any:
    loaded = await ctx.checkpoint.load(int)
    for number in range(5):
        await ctx.checkpoint.keep(str(number), number)
    return loaded


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line for line in caplog.messages if "goes on without its checkpoint" in line]


async def test_without_jetstream_the_step_goes_on_and_it_is_told_once(
    serve: Any, caller: Any, nats_server: Any, caplog: pytest.LogCaptureFixture
):
    nats_server.stop()
    nats_server.jetstream = False
    nats_server.start()
    await serve(keeping(keep_five))
    assert (await caller.ask("KEEP"))["data"] == {}
    assert len(told(caplog)) == 1
    assert "JetStream is off" in told(caplog)[0]


async def test_a_bucket_that_was_removed_is_created_anew(
    serve: Any, caller: Any, nc: Any, items: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("leadplan_responder.checkpoint._ANSWER_SECONDS", 0.3)
    monkeypatch.setattr("leadplan_responder.checkpoint._PAUSE_SECONDS", 0.0)

    async def work(ctx: ToolContext) -> Any:
        await keep_five(ctx)
        raise ToolError("not now")

    await serve(keeping(work))
    await caller.ask("KEEP")
    await nc.jetstream().delete_stream(STREAM)
    await caller.ask("KEEP", attempt=2)
    assert len(told(caplog)) == 1
    assert await items() == 5


async def test_after_trouble_it_waits_before_it_asks_the_server_again(
    serve: Any, caller: Any, nc: Any, items: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("leadplan_responder.checkpoint._ANSWER_SECONDS", 0.3)

    async def work(ctx: ToolContext) -> Any:
        await ctx.checkpoint.keep("first", 1)
        await nc.jetstream().delete_stream(STREAM)
        await ctx.checkpoint.keep("fails", 1)
        await ctx.checkpoint.keep("not tried", 1)
        raise ToolError("not now")

    await serve(keeping(work))
    await caller.ask("KEEP")
    assert await items() == 0


async def test_what_cannot_be_stored_is_logged_without_its_name_or_value(
    serve: Any, caller: Any, items: Any, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)

    async def work(ctx: ToolContext) -> Any:
        await ctx.checkpoint.keep(ADDRESS, ADDRESS * 100_000)
        await ctx.checkpoint.keep(ADDRESS, {ADDRESS: object()})
        await ctx.checkpoint.keep(ADDRESS + "\ud800", 1)
        await ctx.checkpoint.keep("last", 1)
        raise ToolError("not now")

    await serve(keeping(work))
    assert (await caller.ask("KEEP"))["errorMessage"] == "not now"
    assert await items() == 1
    assert [line for line in caplog.messages if "isn't kept" in line] == [
        "an item isn't kept: it has 1800040 bytes, and the server takes 1048576",
        "an item isn't kept: JSON has no form for it",
        "an item isn't kept: JSON has no form for it",
    ]
    assert "people.example" not in caplog.text


async def test_a_reply_does_not_wait_for_the_deletion(serve: Any, caller: Any, monkeypatch: pytest.MonkeyPatch):
    release = asyncio.Event()

    async def slow_purge(self: Any, name: str, subject: str) -> bool:
        await release.wait()
        return True

    monkeypatch.setattr("nats.js.JetStreamContext.purge_stream", slow_purge)
    searcher = Searcher()
    await serve(searcher.responder)
    assert (await caller.ask("SEARCH", PARAMS))["data"] == FOUND
    release.set()


class TestOnce:
    async def test_items_stay_while_the_key_is_in_doubt_and_go_with_success(
        self, serve: Any, caller: Any, items: Any, none_left: Any
    ):
        searcher = Searcher("once", in_doubt="run_again")
        searcher.after, searcher.ending = "ben", ValueError("unexpected")
        await serve(searcher.responder)
        await caller.ask("SEARCH", PARAMS)
        searcher.ending = None
        assert (await caller.ask("SEARCH", PARAMS, attempt=2))["data"] == FOUND
        assert searcher.worked == ["ada", "ben", "cy"]
        await none_left()

    @pytest.mark.parametrize("cancelled_twice", [False, True])
    async def test_a_cancelled_plan_leaves_a_key_in_doubt_and_its_items(
        self, serve: Any, caller: Any, items: Any, cancelled_twice: bool
    ):
        searcher = Searcher("once")
        searcher.after, searcher.hangs = "ben", True
        serving = await serve(searcher.responder)
        asked = await caller.start("SEARCH", PARAMS)
        await searcher.reached.wait()
        await caller.cancel("SEARCH", "s1")
        assert (await asked.reply())["errorCode"] == "cancelled"
        if cancelled_twice:
            await caller.cancel("SEARCH", "s1")
        assert (await caller.ask("SEARCH", PARAMS))["errorCode"] == "in_doubt"
        await serving.stop()
        assert await items() == 2

    async def test_after_a_refusal_that_is_remembered_the_next_round_finds_them(
        self, serve: Any, caller: Any, none_left: Any
    ):
        searcher = Searcher("once")
        searcher.after, searcher.ending = "ben", ToolError("refused", retryable=False)
        await serve(searcher.responder)
        refused = await caller.ask("SEARCH", PARAMS)
        assert await caller.ask("SEARCH", PARAMS) == refused
        assert (await caller.ask("SEARCH", PARAMS, round=2))["data"] == FOUND
        assert searcher.worked == ["ada", "ben", "cy"]
        await none_left()


class TestTheTestKit:
    async def test_the_same_dict_plays_the_next_attempt(self):
        searcher, kept = Searcher(), {}
        searcher.after, searcher.ending = "ben", ToolError("not now")
        assert not (await call_tool(searcher.responder, "SEARCH", PARAMS, checkpoint=kept)).result.success
        assert kept == {name: FOUND[name] for name in ("ada", "ben")}
        again = await call_tool(searcher.responder, "SEARCH", PARAMS, checkpoint=kept, attempt=2)
        assert again.data == FOUND == kept
        assert searcher.worked == ["ada", "ben", "cy"]

    async def test_without_a_dict_nothing_is_kept_between_calls(self):
        searcher = Searcher()
        for _ in range(2):
            assert (await call_tool(searcher.responder, "SEARCH", PARAMS)).data == FOUND
        assert searcher.worked == ["ada", "ben", "cy"] * 2

    async def test_it_treats_values_as_the_real_one_does(self, caplog: pytest.LogCaptureFixture):
        kept = {"from an older version": {"address": 1}, "good": {"email": "x"}}

        async def work(ctx: ToolContext) -> Any:
            loaded = await ctx.checkpoint.load(Finding)
            await ctx.checkpoint.keep("a model", Found(mailAddress=ADDRESS))
            await ctx.checkpoint.keep("no JSON", object())
            return loaded

        call = await call_tool(keeping(work), "KEEP", {}, checkpoint=kept)
        assert call.data == {"good": {"email": "x", "score": 0}}
        assert kept["a model"] == {"mailAddress": ADDRESS}
        assert "no JSON" not in kept
        assert len(caplog.messages) == 2
