"""``leadplan events`` and ``leadplan result`` on a real server, with logs that a test wrote; and their lines alone."""

import asyncio
import io
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from nats.aio.client import Client

from leadplan_bus.claim_check import ClaimCheck
from leadplan_bus.topology import Retention, ensure_topology
from leadplan_cli.event_lines import log_line
from leadplan_cli.terminal import Paint, wants_colours
from leadplan_contracts import LeadPlanEventType
from leadplan_contracts.events import decode_event

START = "2026-11-23T09:15:00.000Z"
LATER = "2026-11-23T09:16:40.000Z"
PLAN = {
    "id": "p",
    "title": "Dentists in Leeds",
    "goal": {"description": "g"},
    "createdAt": START,
    "steps": [
        {"id": "search", "tool": "SEARCH", "params": {}},
        {"id": "save", "tool": "SAVE", "params": {}, "dependsOn": ["search"]},
    ],
}
Answer = tuple[int, str, str]


def step(kind: str, name: str = "search", *, code: str | None = None, **result: Any) -> dict[str, Any]:
    whole = {"stepId": name, "status": "running", "attempts": 1, "startedAt": START, **result}
    meta = {"errorCode": code} if code else {}
    return {"type": kind, "step": {"id": name, "tool": name.upper()}, "result": whole, "meta": meta}


RETRYING = step("STEP_RETRYING", errorMessage="too slow")
RETRYING["meta"] = {"errorCode": "timeout", "delayMs": 1000, "retryAt": LATER}
FAILED = step("STEP_FAILED", code="tool_error", status="failed", attempts=2, finishedAt=LATER, errorMessage="broken")
SKIPPED = step("STEP_SKIPPED", "save", code="dependency_failed", status="skipped", attempts=0, errorMessage="Skipped")
LOG = [
    {"type": "PLAN_STARTED", "plan": PLAN, "meta": {"executor": "e1"}},
    step("STEP_STARTED"),
    {**RETRYING, "added": "by a newer version"},
    step("STEP_STARTED", attempts=2),
    {"type": "PLAN_PAUSED", "meta": {"by": "ann", "reason": "lunch"}},
    {"type": "PLAN_UNPAUSED", "meta": {"by": "ann"}},
    FAILED,
    SKIPPED,
]


def completed(status: str, *results: dict[str, Any]) -> dict[str, Any]:
    times = {"startedAt": START, "finishedAt": LATER}
    return {
        "type": "PLAN_COMPLETED",
        "result": {"planId": "p", "overallStatus": status, "stepResults": list(results), **times},
    }


OTHERS = [
    {"type": "PLAN_RESUMED", "meta": {"executor": "e2", "reason": "lease expired"}},
    {"type": "PLAN_CANCELLING", "meta": {"by": "ann"}},
    {"type": "PLAN_RETRIED", "meta": {"by": "ann", "reason": "new key", "steps": ["search", "save"]}},
    {**step("STEP_SUCCEEDED", status="succeeded", finishedAt=LATER), "meta": {}},
    {"type": "STEP_WAITING", "step": {"id": "save", "tool": "SAVE"}},
    {"type": "STEP_APPROVED", "step": {"id": "save", "tool": "SAVE"}, "meta": {"by": "ann", "reason": "fine"}},
    {"type": "STEP_DENIED", "step": {"id": "save", "tool": "SAVE"}, "meta": {"reason": "too\x1b[2Jdear"}},
    {"type": "STEP_PROGRESS", "step": {"id": "search", "tool": "S"}, "meta": {"progress": 0.4, "message": "4 of 10"}},
    {
        "type": "PLAN_REJECTED",
        "meta": {"errors": [{"path": "plan.id", "code": "bad_id", "message": "is no id"}], "original": {}},
    },
    completed("failed"),
]


async def leadplan(*arguments: str, url: str, **environment: str) -> Answer:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "leadplan_cli", *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "NATS_URL": url, **environment},
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode or 0, out.decode(), err.decode()


@pytest.fixture
async def server(nc: Client) -> Client:
    await ensure_topology(nc.jetstream(), Retention())
    return nc


def body(event: dict[str, Any], sequence: int | None = None) -> bytes:
    number = {} if sequence is None else {"sequence": sequence}
    return msgspec.json.encode({"planId": "p", "time": START, **number, **event})


async def store(nc: Client, *events: dict[str, Any], after: int = 0) -> None:
    for sequence, event in enumerate(events, after + 1):
        await nc.jetstream().publish("plans.log.p", body(event, sequence))


def test_every_type_of_event_has_a_line():
    events = [decode_event(body(one, 7)) for one in [*LOG, *OTHERS]]
    assert {str(type(one).__struct_config__.tag) for one in events} == {kind.value for kind in LeadPlanEventType}
    said = {}
    for one in events:
        line = log_line(one, Paint(io.StringIO(), {}))
        assert line.startswith(f"{START}     7  ")
        kind, _, rest = line[32:].partition(" ")
        said[kind] = " ".join(rest.split())
    assert said == {
        "PLAN_STARTED": "Dentists in Leeds (2 steps), by e1",
        "STEP_STARTED": "search attempt 2 of SEARCH",
        "STEP_RETRYING": "search attempt 1 failed, [timeout] too slow, again in 1.0 s",
        "PLAN_PAUSED": "by ann, lunch",
        "PLAN_UNPAUSED": "by ann",
        "STEP_FAILED": "search after 2 attempts, [tool_error] broken",
        "STEP_SKIPPED": "save [dependency_failed] Skipped",
        "PLAN_RESUMED": "by e2: lease expired",
        "PLAN_CANCELLING": "by ann",
        "PLAN_RETRIED": "2 steps again: search, save, by ann, new key",
        "STEP_SUCCEEDED": "search attempt 1, 1 min 40 s",
        "STEP_WAITING": "save for an approval",
        "STEP_APPROVED": "save by ann, fine",
        "STEP_DENIED": "save too [2Jdear",
        "STEP_PROGRESS": "search 40%, 4 of 10",
        "PLAN_REJECTED": "plan.id: is no id [bad_id]",
        "PLAN_COMPLETED": "failed after 1 min 40 s",
    }


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("out", "environ", "wanted"),
    [
        (Terminal(), {}, True),
        (io.StringIO(), {}, False),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"FORCE_COLOR": "1"}, True),
        (io.StringIO(), {"FORCE_COLOR": "0"}, False),
        (Terminal(), {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
    ],
)
def test_colours_are_for_terminals_unless_somebody_says_otherwise(out: io.StringIO, environ, wanted: bool):
    assert wants_colours(out, environ) is wanted
    line = log_line(decode_event(body(FAILED, 1)), Paint(out, environ))
    assert ("\x1b[31m" in line) is wanted


async def test_the_log_as_lines_and_as_it_is_stored(server: Client, nats_url: str):
    await store(server, *LOG)
    code, out, err = await leadplan("events", "p", url=nats_url)
    assert (code, err) == (0, "")
    assert [line.split()[1:3] for line in out.splitlines()] == [
        [str(number), one["type"]] for number, one in enumerate(LOG, 1)
    ]
    code, out, err = await leadplan("events", "p", "--json", url=nats_url)
    assert [json.loads(line) for line in out.splitlines()] == [
        json.loads(body(one, number)) for number, one in enumerate(LOG, 1)
    ]


@pytest.mark.parametrize(
    ("arguments", "numbers"),
    [
        (["--last", "2"], [7, 8]),
        (["--last", "0"], []),
        (["--type", "step-started", "--type", "STEP_FAILED"], [2, 4, 7]),
        (["--step", "save"], [8]),
        (["--type", "STEP_STARTED", "--last", "1"], [4]),
        (["--since", "2026-11-23T09:15:00Z"], [1, 2, 3, 4, 5, 6, 7, 8]),
        (["--since", "2026-11-24"], []),
    ],
)
async def test_some_of_the_events(server: Client, nats_url: str, arguments: list[str], numbers: list[int]):
    await store(server, *LOG)
    code, out, _ = await leadplan("events", "p", "--json", *arguments, url=nats_url)
    assert (code, [json.loads(line)["sequence"] for line in out.splitlines()]) == (0, numbers)


async def test_following_goes_on_with_the_live_feed(
    server: Client, nats_url: str, eventually: Callable[..., Awaitable[None]]
):
    await store(server, *LOG)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "leadplan_cli", "events", "p", "--follow", "--last", "1", "--json"),
        stdout=subprocess.PIPE,
        env={**os.environ, "NATS_URL": nats_url},
    )
    assert process.stdout is not None
    first = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
    assert first["sequence"] == len(LOG)
    await store(server, completed("failed"), after=len(LOG))
    rest = (await asyncio.wait_for(process.stdout.read(), 20)).splitlines()
    assert await asyncio.wait_for(process.wait(), 20) == 0
    assert [json.loads(line)["type"] for line in rest] == ["PLAN_COMPLETED"]


async def test_what_is_no_event_is_shown_and_stops_nobody(server: Client, nats_url: str):
    await store(server, LOG[0])
    await server.jetstream().publish("plans.log.p", b'{"type": "NEW_KIND"\x07}')
    await store(server, LOG[1], after=1)
    _, out, _ = await leadplan("events", "p", url=nats_url)
    assert out.splitlines()[1] == 'unreadable event: {"type": "NEW_KIND" }'
    assert len(out.splitlines()) == 3


async def test_why_a_plan_never_began(server: Client, nats_url: str):
    await server.jetstream().publish("plans.rejected.p", body(OTHERS[-2]))
    code, out, _ = await leadplan("events", "p", "--follow", url=nats_url)
    assert code == 0
    assert "plan.id: is no id [bad_id]" in out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["events", "other"], 1, "nothing is known of plan other"),
        (["events", "*"], 2, "'*' is no plan id"),
        (["events", "p", "--type", "STEP_FAILD"], 2, "did you mean STEP_FAILED?"),
        (["events", "p", "--since", "soon"], 2, "--since 'soon'"),
        (["result", "other"], 1, "try leadplan list"),
        (["result", "p"], 1, "has not finished"),
        (["result", "p", "--wait", "0.1"], 1, "try leadplan watch p"),
        (["graph", "other"], 1, "nothing is known of plan other"),
    ],
)
async def test_errors_are_one_line_with_what_to_do(
    server: Client, nats_url: str, arguments: list[str], code: int, said: str
):
    await store(server, *LOG)
    outcome = await leadplan(*arguments, url=nats_url)
    assert (outcome[0], outcome[1], outcome[2].count("\n")) == (code, "", 1)
    assert said in outcome[2]


async def test_where_no_executor_ever_ran(nats_url: str):
    code, _, err = await leadplan("events", "p", url=nats_url)
    assert code == 1
    assert "no executor ever ran on it" in err
    assert err.endswith("; try leadplan doctor\n")


async def finish(nc: Client, *results: dict[str, Any], status: str = "failed") -> None:
    await store(nc, LOG[0], completed(status, *results))


async def test_a_result_with_what_steps_returned_and_why_one_failed(server: Client, nats_url: str):
    large = {"leads": ["x" * 200]}
    ref = await ClaimCheck(server.jetstream()).put("d", msgspec.json.encode(large))
    found = {**step("X", status="succeeded", finishedAt=LATER)["result"], "dataRef": msgspec.to_builtins(ref)}
    await finish(server, found, FAILED["result"] | {"stepId": "save", "errorCode": "tool_error"})
    code, out, err = await leadplan("result", "p", url=nats_url)
    assert (code, err) == (1, "")
    heading, search, save, after = out.splitlines()
    assert heading == f"p  failed after 1 min 40 s, ended {LATER}"
    assert search.split()[1:4] == ["search", "succeeded", "1"]
    assert search.endswith("xxx…")
    assert save.endswith("[tool_error] broken")
    assert "leadplan retry p" in after
    code, out, _ = await leadplan("result", "p", "--json", url=nats_url)
    whole = json.loads(out)
    assert (code, whole["overallStatus"]) == (1, "failed")
    assert whole["stepResults"][0]["data"] == large
    assert "dataRef" not in whole["stepResults"][0]
    code, out, _ = await leadplan("result", "p", "--step", "search", url=nats_url)
    assert (code, json.loads(out)) == (0, large)
    code, out, err = await leadplan("result", "p", "--step", "save", url=nats_url)
    assert (code, out, err) == (1, "", "leadplan: step save failed: broken\n")
    code, _, err = await leadplan("result", "p", "--step", "serch", url=nats_url)
    assert (code, err) == (2, "leadplan: plan p has no step 'serch': did you mean search?\n")


async def test_data_that_is_gone_is_told_and_the_rest_is_shown(server: Client, nats_url: str):
    ref = {"bucket": "PLAN_DATA", "name": "gone", "size": 3, "digest": "SHA-256=x"}
    gone = {**step("X", status="succeeded", finishedAt=LATER)["result"], "dataRef": ref}
    here = {**step("X", "save", status="succeeded", finishedAt=LATER)["result"], "data": None}
    await finish(server, gone, here, status="succeeded")
    code, out, _ = await leadplan("result", "p", "--json", url=nats_url)
    steps = json.loads(out)["stepResults"]
    assert code == 0
    assert "may have aged out" in steps[0]["dataError"]
    assert steps[1]["data"] is None
    assert "may have aged out" in (await leadplan("result", "p", url=nats_url))[1]


async def test_the_graph_of_a_plan_by_its_id(server: Client, nats_url: str):
    await store(server, *LOG, completed("failed"))
    code, out, _ = await leadplan("graph", "p", url=nats_url, PYTHONIOENCODING="utf-8")
    assert (code, out.splitlines()) == (
        0,
        ["Dentists in Leeds  p", "  ✗ search  SEARCH  failed: 2 attempts: broken", "↓ – save  SAVE  skipped: Skipped"],
    )
