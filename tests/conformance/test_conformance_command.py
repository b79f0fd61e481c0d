"""``leadplan conformance`` as a process, against responders written with the SDK and against nobody."""

import asyncio
import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import asyncio
import msgspec
from leadplan_responder import Responder, ToolContext, ToolError

responder = Responder("greeter", version="1.0.0", description="Greets people")

class Params(msgspec.Struct, forbid_unknown_fields=True):
    name: str

@responder.tool("GREET", effects="none", max_in_flight=4)
async def greet(params: Params, ctx: ToolContext) -> dict[str, str]:
    if params.name == "Bob":
        raise ToolError("Bob is away", code="away", retry_after=2)
    await ctx.progress(0.5, "half way")
    await asyncio.sleep(0.05)
    return {"greeting": "Hello " + params.name}

class SourceParams(msgspec.Struct, rename="camel"):
    source_step_id: str

@responder.tool("GREET_ALL", effects="once")
async def greet_all(params: SourceParams, ctx: ToolContext) -> list[str]:
    people = await ctx.prior_data(params.source_step_id, list[str])
    return ["Hello " + name for name in people]

if __name__ == "__main__":
    responder.run()
"""
PARAMS = '{"name": "Ada"}'
WRONG_SCRIPT = """
import asyncio, os, nats
from leadplan_bus.connection import flush

async def main():
    nc = await nats.connect(os.environ["NATS_URL"])
    async def take(message):
        await message.respond(b'{"success": "yes"}')
    await nc.subscribe("tools.WRONG", cb=take)
    await flush(nc)
    print("serving", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def conformance(nats_url):
    async def run(*arguments):
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "leadplan_cli", "conformance", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "NATS_URL": nats_url},
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), 60)
        finally:
            if process.returncode is None:
                process.kill()
        return process.returncode, out.decode(), err.decode()

    return run


@pytest.fixture
async def greeter(start_process, tmp_path):
    script = tmp_path / "greeter.py"
    script.write_text(SCRIPT)
    return await start_process(sys.executable, "-W", "error", str(script))


async def test_a_responder_of_the_sdk_passes_every_check(greeter, conformance):
    code, out, err = await conformance("greet", "--params", PARAMS, "--error-params", '{"name": "Bob"}')
    assert (code, err) == (0, ""), out
    lines = out.splitlines()
    assert lines[-1] == f"GREET: {len(lines) - 1} ok, 0 failed, 0 not checked"
    assert all(line.startswith("ok  ") for line in lines[:-1])
    assert any("away: Bob is away (to be repeated after 2000 ms)" in line for line in lines)
    assert any("20 at once: 4 worked on, 16 answered busy" in line for line in lines)


async def test_a_tool_that_reads_prior_steps_and_acts_once_passes_too(greeter, conformance, tmp_path):
    people = tmp_path / "people.json"
    people.write_text('{"people": ["Ada", "Ben"]}')
    source = ("GREET_ALL", "--params", '{"sourceStepId": "people"}', "--json")
    code, out, _ = await conformance(*source, "--prior-data", f"@{people}")
    results = {line["check"]: line for line in map(json.loads, out.splitlines())}
    assert code == 0
    assert results["valid request"]["outcome"] == "ok"
    assert results["valid request"]["message"].startswith("success")
    assert results["repeated key"]["message"] == "the same reply each time, as effects once asks for"
    assert results["error"]["outcome"] == "not checked"
    assert set(results["error"]) == {"check", "outcome", "message", "advice"}


async def test_a_failure_gives_exit_code_1_and_says_what_to_do(start_process, conformance, tmp_path):
    script = tmp_path / "wrong.py"
    script.write_text(WRONG_SCRIPT)
    await start_process(sys.executable, str(script))
    code, out, err = await conformance("WRONG", "--params", "{}", "--timeout", "1")
    assert (code, err) == (1, "")
    (failure,) = (line for line in out.splitlines() if line.startswith("failed"))
    assert '{"success": "yes"}' in failure
    assert " -> send " in failure
    assert "not checked" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["NOBODY", "--params", "{}"], "nobody listens on tools.NOBODY: start the responder"),
        (["GREET", "--params", "{"], "--params is no JSON"),
        (["GREET", "--params", "[]"], "--params must be a JSON object"),
        (["GREET", "--params", "@/nowhere.json"], "--params: can't read /nowhere.json"),
        (["GREET", "--params", "{}", "--error-params", "7"], "--error-params must be a JSON object"),
        (["no.tool", "--params", "{}"], "'no.tool' is no tool name"),
        (["GREET"], "--params"),
    ],
)
async def test_bad_use_gives_exit_code_2(conformance, arguments, said):
    code, out, err = await conformance(*arguments)
    assert (code, out) == (2, "")
    assert said in err
