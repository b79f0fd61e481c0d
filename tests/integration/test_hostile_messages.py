"""Replies, signs of life and submissions of hostile size and shape: each has its end, and nobody else notices."""

import asyncio
import contextlib
import json
import re

import pytest

from leadplan_bus.claim_check import ClaimCheck
from leadplan_contracts import DataRef
from leadplan_contracts.subjects import MAX_INLINE_DATA_BYTES

TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
WORKING = {"Leadplan-Reply": "working"}
HEADER_BLOCKS = {
    "empty": b"",
    "shorter than its first line": b"X",
    "a first line alone": b"NATS/1.0",
    "another protocol": b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n",
    "a status that is no text": b"NATS/1.0 \xff\xfe\xfd\r\n\r\n",
    "a status with a text that is none": b"NATS/1.0 503 \xff\xff\xff\r\n\r\n",
    "a status and headers": b"NATS/1.0 404 No Messages\r\nA: b\r\n\r\n",
    "no colon, no name": b"NATS/1.0\r\nno colon\r\n: no name\r\n\r\n",
    "no end": b"NATS/1.0\r\nA: " + b"b" * 5_000,
    "names that are no text": b"NATS/1.0\r\nA\xff: b\r\ntraceparent\xc3: c\r\n\r\n",
    "values that are no text": b"NATS/1.0\r\ntraceparent: \xff\xff\r\nLeadplan-Reply: \xff\r\n\r\n",
    "many": b"NATS/1.0\r\n" + b"".join(b"H%d: x\r\n" % number for number in range(3_000)) + b"\r\n",
}


async def publish_raw(port, subject, block, body):
    """Publish with any bytes for headers, as no client library would; wait until the server has it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        await reader.readline()
        writer.write(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n')
        writer.write(f"HPUB {subject} {len(block)} {len(block) + len(body)}\r\n".encode() + block + body + b"\r\n")
        writer.write(b"PING\r\n")
        with contextlib.suppress(ConnectionError):
            assert (await asyncio.wait_for(reader.readline(), 5)).startswith((b"PONG", b"-ERR"))
    finally:
        writer.close()


def results_of(result):
    return {one["stepId"]: one for one in result["stepResults"]}


# --- bodies of replies

DATA = {
    "nested": b"[" * 90 + b"]" * 90,
    "numbers beyond any type": b"[1e999,-1e999,1e-999," + b"9" * 400 + b",0.1e1,-0]",
    "odd text": rb'"\u0000 \uffff \udbff\udfff"',
    "keys twice": b'{"a":1,"a":2,"":3}',
    "spaces": b" " * 200_000 + b"1",
}
NO_DATA = {
    "nested too deep": b"[" * 101 + b"]" * 101,
    "nested, and without end": b'{"a":' * 100_000,
    "no number": b"NaN",
    "no number either": b"-Infinity",
    "a number cut off": b"1e",
    "nothing": b"",
    "half a character": rb'"\ud800"',
}
NO_REPLIES = {
    "two": b'{"success":true}{"success":true}',
    "a byte order mark": b'\xef\xbb\xbf{"success":true}',
    "UTF-16": '{"success":true}'.encode("utf-16"),
    "no UTF-8 behind the end": b'{"success":true}\xff',
    "success is a number": b'{"success":1}',
    "waits for ever": b'{"success":false,"retryAfterMs":1e999}',
    "waits backwards": b'{"success":false,"retryAfterMs":-1}',
    "a size below nothing": b'{"success":true,"dataRef":{"bucket":"PLAN_DATA","name":"x","size":-1,"digest":"d"}}',
    "zeros": b"\0" * 500_000,
}


async def test_every_reply_has_its_end_whatever_its_body(executor, feed, serve_tool, make_plan):
    good = {f"data: {name}": b'{"success":true,"data":' + body + b"}" for name, body in DATA.items()}
    bad = {f"no data: {name}": b'{"success":true,"data":' + body + b"}" for name, body in NO_DATA.items()}
    bodies = {**good, **bad, **NO_REPLIES}
    names = list(bodies)
    await serve_tool(behaviour=lambda request: bodies[request["params"]["body"]])
    await serve_tool("QUICK")
    steps = [
        {"id": f"s{number}", "params": {"body": name}, "retry": {"maxRetries": 0}} for number, name in enumerate(names)
    ]
    last = {"id": "last", "tool": "QUICK", "dependsOn": [f"s{number}" for number in range(len(good))]}
    results = results_of(await feed.run(make_plan("p1", [*steps, last], maxConcurrency=50)))
    codes = {name: results[f"s{number}"].get("errorCode") for number, name in enumerate(names)}
    assert codes == {name: None if name in good else "bad_reply" for name in names}
    assert results["last"]["status"] == "succeeded"
    assert results["s1"]["data"][3] == int("9" * 400)


@pytest.mark.parametrize("wait", [2**63 - 1, 10**40])
async def test_an_absurd_wait_is_cut_to_a_week(executor, feed, serve_tool, make_plan, wait):
    await serve_tool(behaviour=lambda request: {"success": False, "retryAfterMs": wait})
    await feed.submit(make_plan("p1", [{"id": "a"}]))
    await feed.until(lambda: feed.of("p1", "STEP_RETRYING"))
    assert feed.of("p1", "STEP_RETRYING")[0]["meta"]["delayMs"] == 7 * 86_400_000


# --- sizes


async def test_replies_around_the_limits(executor, feed, nc, serve_tool, make_plan, nats_server):
    """Of data in messages, and of the server: a reply over that one never comes, and closes its sender's connection."""
    frame = len(b'{"success":true,"data":""}')
    sizes = {
        "inline": MAX_INLINE_DATA_BYTES - 2,
        "stored": MAX_INLINE_DATA_BYTES - 1,
        "largest": nc.max_payload - frame,
        "over": nc.max_payload - frame + 1,
    }

    async def large(request):
        body = b'{"success":true,"data":"' + b"x" * sizes[request["stepId"]] + b'"}'
        if len(body) <= nc.max_payload:
            return body
        await publish_raw(nats_server.port, request["_reply_to"], b"NATS/1.0\r\n\r\n", body)
        return None

    await serve_tool(behaviour=large)
    await serve_tool("QUICK")
    steps = [{"id": name, "timeoutMs": 2_000 if name != "over" else 500, "retry": {"maxRetries": 0}} for name in sizes]
    after = {"id": "after", "tool": "QUICK", "dependsOn": ["inline", "stored", "largest"]}
    result = await feed.run(make_plan("p1", [*steps, after]))
    if "stepResultsRef" in result:
        result["stepResults"] = json.loads(await ClaimCheck(nc.jetstream()).get(DataRef(**result["stepResultsRef"])))
    results = results_of(result)
    assert len(results["inline"]["data"]) == sizes["inline"]
    for name in ("stored", "largest"):
        assert results[name]["dataRef"]["size"] == sizes[name] + 2
    assert results["over"]["errorCode"] == "timeout"
    assert results["after"]["status"] == "succeeded"


async def test_an_object_of_a_million_keys(nats_server, start_executor, feed, nc, serve_tool, make_plan, eventually):
    nats_server.stop()
    nats_server.extra = "max_payload: 32MB"
    nats_server.start()
    await eventually(lambda: nc.is_connected and nc.max_payload == 32 * 1024 * 1024)
    body = b'{"success":true,"data":{' + b",".join(b'"k%d":%d' % (one, one) for one in range(1_000_000)) + b"}}"

    await serve_tool("MANY", lambda request: body)
    seen = await serve_tool()
    await start_executor()
    others = [feed.run(make_plan(f"other{number}", [{"id": "a"}])) for number in range(5)]
    result, *rest = await asyncio.gather(
        feed.run(make_plan("p1", [{"id": "many", "tool": "MANY"}, {"id": "b", "dependsOn": ["many"]}])), *others
    )
    assert {one["overallStatus"] for one in [result, *rest]} == {"succeeded"}
    assert result["stepResults"][0]["dataRef"]["size"] == len(body) - len(b'{"success":true,"data":}')
    assert seen.calls("b")[0]["priorResults"]["many"]["dataRef"] == result["stepResults"][0]["dataRef"]


# --- headers of replies


@pytest.fixture
def hearing(caplog):
    """Nobody may have lost the connection by the end of the test."""
    yield
    assert "connected to the NATS server again" not in caplog.text


async def test_headers_of_replies(hearing, executor, feed, serve_tool, make_plan, nats_server):
    blocks = list(HEADER_BLOCKS.values())

    async def answer(request):
        block = blocks[request["params"]["block"]]
        await publish_raw(nats_server.port, request["_reply_to"], block, b'{"success":true,"data":"said"}')

    await serve_tool(behaviour=answer)
    steps = [{"id": f"s{number}", "params": {"block": number}} for number in range(len(blocks))]
    result = await feed.run(make_plan("p1", steps, maxConcurrency=50))
    said = {name: one.get("data") for name, one in zip(HEADER_BLOCKS, result["stepResults"], strict=True)}
    assert said == dict.fromkeys(HEADER_BLOCKS, "said")


# --- signs of life

PROGRESS = {
    "no number": b'{"progress":NaN}',
    "beyond any type": b'{"progress":1e999}',
    "below nothing": b'{"progress":-0.1}',
    "over the end": b'{"progress":1.1}',
    "text": b'{"progress":"half"}',
    "a list": b"[0.5]",
    "nested": b'{"message":' + b"[" * 100_000,
    "no UTF-8": b'{"message":"\xff"}',
    "zeros": b"\0" * 500_000,
    "a message that is none": b'{"message":{"a":1}}',
}


async def test_signs_of_life_of_any_shape_and_number(hearing, executor, feed, nc, serve_tool, make_plan, nats_server):
    async def behave(request):
        to = request["_reply_to"]
        for body in PROGRESS.values():
            await nc.publish(to, body, headers=WORKING)
        for block in HEADER_BLOCKS.values():
            await publish_raw(nats_server.port, to.rpartition(".")[0] + ".nobody", block, b"")
        await nc.publish(to, json.dumps({"progress": 0.5, "message": "m" * 900_000}).encode(), headers=WORKING)
        for number in range(5_000):
            await nc.publish(to, b'{"progress":%.4f}' % (0.5 + number / 10_000), headers=WORKING)
        await nc.publish(to, b'{"progress":1}', headers=WORKING)
        return {"success": True}

    await serve_tool(behaviour=behave)
    await feed.submit(make_plan("p1", [{"id": "a"}]))
    assert (await feed.result("p1"))["overallStatus"] == "succeeded"
    await feed.until(lambda: feed.of("p1", "STEP_PROGRESS")[-1]["meta"] == {"progress": 1.0})
    reported = [one["meta"] for one in feed.of("p1", "STEP_PROGRESS")]
    assert all(0.5 <= meta["progress"] <= 1 and len(meta.get("message", "")) <= 4_000 for meta in reported)
    assert len(reported) < 500
    assert all(event["type"] != "STEP_PROGRESS" for event in await feed.log("p1"))


# --- replies that come twice, or late


async def test_a_late_reply_while_the_next_attempt_runs_is_not_its_answer(executor, feed, nc, serve_tool, make_plan):
    second = asyncio.Event()
    late = [b'{"success":true,"data":"late"}', b'{"success":false,"retryable":false}', b"garbage", b""]

    async def behave(request):
        if request["attempt"] == 2:
            second.set()
            await asyncio.sleep(0.05)  # the late ones are on their way: they come first
            return {"success": True, "data": "in time"}
        await second.wait()
        for body in late:
            await nc.publish(request["_reply_to"], body)
        await nc.publish(request["_reply_to"], b'{"progress":0.9}', headers=WORKING)
        return None

    tool = await serve_tool(behaviour=behave)
    step = {"id": "a", "timeoutMs": 300, "retry": {"maxRetries": 1, "baseDelayMs": 1}}
    result = await feed.run(make_plan("p1", [step]))
    assert (result["stepResults"][0]["data"], result["stepResults"][0]["attempts"]) == ("in time", 2)
    assert len(tool.requests) == 2
    assert feed.of("p1", "STEP_PROGRESS") == []


async def test_the_first_of_many_replies_counts_and_those_after_the_end_change_nothing(
    executor, feed, nc, serve_tool, make_plan
):
    inboxes = []

    async def behave(request):
        inboxes.append(request["_reply_to"])
        for number in range(1_000):
            await nc.publish(request["_reply_to"], b'{"success":true,"data":%d}' % number)

    await serve_tool(behaviour=behave)
    result = await feed.run(make_plan("p1", [{"id": "a"}, {"id": "b", "dependsOn": ["a"]}]))
    log = await feed.log("p1")
    for inbox in inboxes:
        await nc.publish(inbox, b'{"success":false}')
    assert (await feed.run(make_plan("p2", [{"id": "a"}])))["overallStatus"] == "succeeded"
    assert [one["data"] for one in result["stepResults"]] == [0, 0]
    assert await feed.log("p1") == log


# --- headers of submissions

HEADERS = {
    "no trace": {"traceparent": "00-zz"},
    "a trace of zeros": {"traceparent": f"00-{'0' * 32}-{'0' * 16}-01"},
    "a trace of version ff": {"traceparent": f"ff-{'a' * 32}-{'b' * 16}-01"},
    "a long trace": {"traceparent": "00-" + "a" * 50_000},
    "a status": {"Status": "503", "Description": "No Responders"},
    "an error": {"Nats-Service-Error-Code": "x" * 5_000},
    "an executor": {"Leadplan-Executor": "me", "Nats-Expected-Last-Sequence": ""},
}


async def test_headers_of_submissions(hearing, executor, feed, nc, serve_tool, make_plan, nats_server):
    await serve_tool()
    blocks = dict(HEADER_BLOCKS)
    for name, headers in HEADERS.items():
        lines = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
        blocks[name] = f"NATS/1.0\r\n{lines}\r\n".encode()
    names = {f"p{number}": name for number, name in enumerate(blocks)}
    for plan_id, name in names.items():
        body = json.dumps(make_plan(plan_id, [{"id": "a"}])).encode()
        await publish_raw(nats_server.port, "plans.execute", blocks[name], body)
    for plan_id in names:
        assert (await feed.result(plan_id))["overallStatus"] == "succeeded"
    assert all(TRACEPARENT.fullmatch(one["traceparent"]) for one in feed.headers)
