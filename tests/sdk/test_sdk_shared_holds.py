"""A provider that tells one process to wait means all that use the credential: a hold reaches the others."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from leadplan_bus.discovery import discover_tools
from leadplan_bus.tokens import new_token
from leadplan_responder import Responder, ToolContext, ToolError
from leadplan_responder.limits import LONGEST_HOLD_SECONDS, Limit, Limits, credential_limit
from leadplan_responder.testing import call_tool


def calling(tool: str, limit: Limit, *, effects: Any = "none") -> Responder:
    """A tool that calls a provider through the limit, and meets a 429 where its params say so."""
    responder = Responder(f"caller-{tool.lower()}", version="1.0.0", description="Calls a provider")

    @responder.tool(tool, effects=effects, limits=[limit])
    async def call(params: dict, ctx: ToolContext) -> str:
        async with limit:
            if "wait" in params:
                raise ToolError("Acme limits requests", code="rate_limited", retry_after=params["wait"])
        return "called"

    return responder


def limit_of(key: str = "k", **rates: int) -> Limit:
    """The limit of a credential as another process would make it: equal, but not the same object."""
    return Limits().credential("Acme", key=key, **{"at_once": 2, **rates})


def held(limit: Limit) -> Any:
    return lambda: limit.held_for() > 0


class Notices:
    """Everything that is told of holds."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []

    async def take(self, message: Any) -> None:
        self.seen.append((message.subject, json.loads(message.data)))


@pytest.fixture
async def notices(nc: Any) -> Notices:
    notices = Notices()
    await nc.subscribe("limits.held.>", cb=notices.take)
    return notices


@pytest.mark.parametrize("effects", ["none", "once"])
async def test_a_429_in_one_makes_the_others_answer_busy(serve: Any, caller: Any, eventually: Any, effects: Any):
    first, second = limit_of(), limit_of(at_once=1)
    await serve(calling("ONE", first, effects=effects))
    await serve(calling("TWO", second, effects=effects))
    reply = await caller.ask("ONE", {"wait": 30})
    assert (reply["errorCode"], reply["errorMessage"]) == ("busy", "Acme limits requests")
    assert 29_000 < reply["retryAfterMs"] <= 30_000
    await eventually(held(second), what="the other hears of it")
    other = await caller.ask("TWO", stepId="s2")
    assert other["errorCode"] == "busy"
    assert 25_000 < other["retryAfterMs"] <= 30_000
    assert second.held_for() <= 30.0


async def test_a_hold_is_told_once_and_never_passed_on(serve: Any, caller: Any, eventually: Any, notices: Notices):
    limits = [limit_of() for _ in range(3)]
    serving = await serve(calling("T0", limits[0]))
    for number in (1, 2):
        await serve(calling(f"T{number}", limits[number]))
    await caller.ask("T0", {"wait": 30})
    await eventually(lambda: all(limit.held_for() for limit in limits))
    for number in range(3):  # by the time that they answer, they would have told it
        await caller.ask(f"T{number}", stepId="s2")
    ((subject, notice),) = notices.seen
    assert subject == f"limits.held.{limits[0].fingerprint}"
    assert notice == {"heldMs": 30_000, "by": serving._service.id}
    limits[0].hold(10)
    limits[1].hold(60)
    await eventually(lambda: limits[2].held_for() > 30)
    assert [body["heldMs"] for _, body in notices.seen] == [30_000, 60_000], "a shorter one says nothing"


async def test_ones_own_notice_lengthens_nothing(serve: Any, caller: Any, nc: Any):
    limit = limit_of()
    serving = await serve(calling("ONE", limit))
    notice = {"heldMs": 30_000, "by": serving._service.id}
    await nc.publish(f"limits.held.{limit.fingerprint}", json.dumps(notice).encode())
    assert (await caller.ask("ONE"))["data"] == "called", "the notice came before the request"


async def test_other_credentials_services_and_tools_go_on(serve: Any, caller: Any, eventually: Any):
    same, other_key = limit_of(), limit_of("another")
    other_service = Limits().credential("Acme maps", key="k", at_once=2)
    of_a_tool = Limits().tool("Acme", at_once=2)
    for number, limit in enumerate([same, other_key, other_service, of_a_tool]):
        await serve(calling(f"T{number}", limit))
    await serve(calling("FIRST", limit_of()))
    await caller.ask("FIRST", {"wait": 30})
    await eventually(held(same))
    assert [(await caller.ask(f"T{number}", stepId=str(number)))["success"] for number in (1, 2, 3)] == [True] * 3


async def test_a_limit_of_a_tool_is_shared_too(serve: Any, caller: Any, eventually: Any):
    first, second = Limits().tool("CALL", at_once=1), Limits().tool("CALL", at_once=1)
    await serve(calling("ONE", first))
    await serve(calling("TWO", second))
    await caller.ask("ONE", {"wait": 30})
    await eventually(held(second))


async def test_what_is_told_is_bounded_and_what_is_malformed_is_dropped(
    serve: Any, nc: Any, eventually: Any, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.WARNING)
    limit = limit_of()
    await serve(calling("ONE", limit))
    subject = f"limits.held.{limit.fingerprint}"
    malformed = [b"", b"\xff", b"[]", b"{}", b"[" * 5_000, b'{"heldMs": "1000"}', b'{"heldMs": 0}', b'{"heldMs": -5}']
    malformed += [b'{"heldMs": 1.5}', b'{"heldMs": null}', b'{"heldMs": true}']
    for body in malformed:
        await nc.publish(subject, body)
    await eventually(lambda: len(caplog.messages) == len(malformed))
    assert all("unreadable notice of a hold" in line for line in caplog.messages)
    assert limit.held_for() == 0
    await nc.publish(subject, b'{"heldMs": %d, "from": "nobody"}' % 10**40)
    await eventually(held(limit))
    assert limit.held_for() <= LONGEST_HOLD_SECONDS


async def test_who_has_stopped_neither_tells_nor_listens(serve: Any, caller: Any, eventually: Any, notices: Notices):
    stopped, serving = limit_of(), limit_of()
    ended = await serve(calling("ONE", stopped))
    await serve(calling("TWO", serving))
    await ended.stop()
    stopped.hold(30)
    await caller.ask("TWO", {"wait": 60})
    assert len(notices.seen) == 1
    assert stopped.held_for() <= 30
    assert stopped._listeners == []


async def test_without_a_connection_the_hold_counts_here(serve: Any, nats_server: Any):
    limit = limit_of()
    await serve(calling("ONE", limit))
    nats_server.kill()
    limit.hold(30)
    assert limit.held_for() > 29


OTHER_PROCESS = """
import sys
from leadplan_responder import Responder, ToolContext
from leadplan_responder.limits import credential_limit

limit = credential_limit("Acme", key="hush-hush", at_once=3)
responder = Responder("other", version="1.0.0", description="Calls a provider")

@responder.tool("OTHER", effects="none", limits=[limit])
async def call(params: dict, ctx: ToolContext) -> str:
    async with limit:
        return "called"

if __name__ == "__main__":
    responder.run()
"""


@pytest.fixture
async def other_process(tmp_path: Any, nats_url: str, nc: Any, eventually: Any) -> AsyncIterator[None]:
    script = tmp_path / "other.py"
    script.write_text(OTHER_PROCESS)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", str(script), env={**os.environ, "NATS_URL": nats_url}
    )

    async def serves() -> bool:
        return any(tool.tool == "OTHER" for tool in await discover_tools(nc, silence=0.05))

    await eventually(serves)
    yield
    process.kill()
    await process.wait()


async def test_a_process_of_its_own_hears_it_too(other_process: None, serve: Any, caller: Any, eventually: Any):
    assert (await caller.ask("OTHER"))["data"] == "called"
    await serve(calling("ONE", Limits().credential("Acme", key=b"hush-hush", at_once=1)))
    await caller.ask("ONE", {"wait": 30})

    async def busy() -> bool:
        asked = await caller.start("OTHER", stepId=new_token())  # a step of its own: the same one joins what waits
        try:
            return (await asked.reply(within=1)).get("errorCode") == "busy"
        except TimeoutError:
            return False  # it was accepted before the hold was heard of, and waits now

    await eventually(busy)


class TestBusyInPlaceOfRateLimited:
    """A handler that met a limit which is held now is to wait; its attempt didn't fail."""

    @staticmethod
    def limited(error: ToolError, *limits: Limit, inside: Limit | None = None, effects: Any = "none") -> Responder:
        responder = Responder("limited", version="1.0.0", description="Meets a limit")

        @responder.tool("CALL", effects=effects, limits=limits)
        async def call(params: dict, ctx: ToolContext) -> None:
            if inside is None:
                raise error
            async with inside:
                raise error

        return responder

    async def test_the_reply_says_how_long_the_hold_lasts_and_keeps_the_message(self, serve: Any, caller: Any):
        limit = limit_of()
        error = ToolError("Acme limits requests", code="rate_limited", retry_after=20)
        await serve(self.limited(error, limit_of("another"), limit, inside=limit))
        reply = await caller.ask("CALL")
        assert 19_000 < reply.pop("retryAfterMs") <= 20_000
        assert reply == {
            "success": False, "errorCode": "busy", "errorMessage": "Acme limits requests", "retryable": True
        }  # fmt: skip

    async def test_a_hold_that_is_nearly_over_is_at_least_a_millisecond(self):
        limit = limit_of()
        error = ToolError("Acme limits requests", code="rate_limited")
        responder = self.limited(error, limit)
        asyncio.get_running_loop().time = lambda: 1000.0  # type: ignore[method-assign]  # so that no time passes
        limit.hold(0.0001)
        try:
            result = (await call_tool(responder, "CALL", {})).result
        finally:
            del asyncio.get_running_loop().time  # type: ignore[method-assign]
        assert (result.error_code, result.retry_after_ms) == ("busy", 1)

    @pytest.mark.parametrize(
        ("error", "declared"),
        [
            (ToolError("x", code="rate_limited", retry_after=20), False),
            (ToolError("x", code="rate_limited"), True),
            (ToolError("x", code="rate_limited", retry_after=0), True),
            (ToolError("x", code="rate_limited", retry_after=20, retryable=False), True),
            (ToolError("x", code="quota_exceeded", retry_after=20), True),
        ],
        ids=["a limit that isn't declared", "no time", "no wait", "not retryable", "another code"],
    )
    async def test_any_other_error_is_reported_as_it_is(self, error: ToolError, declared: bool):
        limit = limit_of()
        responder = self.limited(error, *([limit] if declared else []), inside=limit)
        result = (await call_tool(responder, "CALL", {})).result
        assert (result.error_code, result.retryable) == (error.code, error.retryable)
        assert result.retry_after_ms == (None if error.retry_after is None else error.retry_after * 1000)

    async def test_a_tool_whose_effects_happen_once_runs_again_afterwards(
        self, serve: Any, caller: Any, eventually: Any
    ):
        limit, error = limit_of(), ToolError("Acme limits requests", code="rate_limited", retry_after=0.05)
        await serve(self.limited(error, limit, inside=limit, effects="once"))
        assert (await caller.ask("CALL"))["errorCode"] == "busy"

        async def runs_again() -> bool:
            return bool((await caller.ask("CALL"))["errorMessage"] == "Acme limits requests")

        await eventually(runs_again, what="it isn't in doubt")

    async def test_the_test_kit_shows_what_the_executor_gets(self):
        limit = limit_of()
        error = ToolError("Acme limits requests", code="rate_limited", retry_after=20)
        result = (await call_tool(self.limited(error, limit, inside=limit), "CALL", {})).result
        assert (result.error_code, result.error_message) == ("busy", "Acme limits requests")
        assert result.retry_after_ms is not None
        assert 19_000 < result.retry_after_ms <= 20_000


class TestFingerprints:
    def test_a_limit_has_the_same_one_in_every_process_and_it_hides_the_key(self):
        limit = credential_limit("Acme fingerprints", key="hush-hush", at_once=1)
        assert limit.fingerprint == Limits().credential("Acme fingerprints", key=b"hush-hush", per_minute=9).fingerprint
        assert len(limit.fingerprint) == 32
        assert "hush" not in bytes.fromhex(limit.fingerprint).decode(errors="replace")

    def test_no_two_limits_have_the_same_one(self):
        limits = [
            limit_of("k"),
            limit_of("l"),
            Limits().credential("Acmek", key="", at_once=1),
            Limits().credential("", key="Acmek", at_once=1),
            Limits().tool("Acme", at_once=1),
            Limits().tool("Acmek", at_once=1),
        ]
        assert len({limit.fingerprint for limit in limits}) == len(limits)
