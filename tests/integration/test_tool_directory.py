"""What an executor knows of the tools that are served, also of slow, hanging, odd and vanished responders."""

import asyncio
import itertools
import json

import msgspec
import pytest
from nats.errors import Error as NatsError

from leadplan_bus.connection import close, connect, flush
from leadplan_contracts import LeadGenPlan
from leadplan_executor import served_tools, tool_directory
from leadplan_executor.tool_directory import ToolDirectory
from leadplan_responder import Responder, ToolContext
from leadplan_responder.serving import Serving

NEVER = 3_600


class GreetParams(msgspec.Struct):
    name: str


def greeter(version, effects="none"):
    responder = Responder("greeter", version=version, description="Greets")

    @responder.tool("GREET", effects=effects)
    async def greet(params: GreetParams, ctx: ToolContext) -> str:
        return f"Hello {params.name}"

    return responder


@pytest.fixture
async def serve(nats_url):
    """Serve a responder on a connection of its own; returns what ends it."""
    served = []

    async def start(responder):
        connection = await connect(nats_url, name=responder.name)
        serving = Serving(responder, connection, 0.0)
        served.append((serving, connection))
        await serving.start()
        return serving

    yield start
    for serving, connection in served:
        await serving.stop()
        await close(connection)


class Announcer:
    """Announces a tool as told: to all questions, only when asked by name, late, or not at all."""

    def __init__(self, nc, tool="PAINT", service="painter", instance="i1"):
        self.to_all = True
        self.to_its_name = True
        self.delay = 0.0
        self.asked = 0
        self.says = json.dumps(
            {
                "name": service,
                "id": instance,
                "version": "1.0.0",
                "endpoints": [{"name": tool, "subject": f"tools.{tool}", "metadata": {"tool": tool}}],
            }
        ).encode()
        self._nc = nc
        self._own = f"$SRV.INFO.{service}.{instance}"
        self._subscriptions = []

    async def start(self, own_subject=True):
        for subject in ["$SRV.INFO", *([self._own] if own_subject else [])]:
            self._subscriptions.append(await self._nc.subscribe(subject, cb=self._take))
        await flush(self._nc)

    async def stop(self):
        for subscription in self._subscriptions:
            await subscription.unsubscribe()
        await flush(self._nc)

    async def _take(self, message):
        to_all = message.subject == "$SRV.INFO"
        self.asked += to_all
        if self.to_all if to_all else self.to_its_name:
            await asyncio.sleep(self.delay)
            await self._nc.publish(message.reply, self.says)


@pytest.fixture
async def announcer(nats_url):
    connection = await connect(nats_url, name="painter")
    announcer = Announcer(connection)
    await announcer.start()
    yield announcer
    if not connection.is_closed:
        await connection.close()


@pytest.fixture
def impatient(monkeypatch):
    """Nobody in this test answers late, so nobody is waited for."""
    monkeypatch.setattr(tool_directory, "_PATIENTLY", {"longest": 1.0, "silence": 0.1})


def plan_of(*tools, params=None):
    steps = [{"id": f"s{index}", "tool": tool, "params": params or {}} for index, tool in enumerate(tools)]
    goal = {"description": "Find leads"}
    plan = {"id": "p1", "title": "A plan", "goal": goal, "createdAt": "2026-11-23T09:15:02.417Z", "steps": steps}
    return msgspec.convert(plan, LeadGenPlan)


_fresh = itertools.count()


async def read(directory):
    """One more reading: a tool that was never asked for brings it about."""
    await directory.find_tool_problems(plan_of(f"FRESH_{next(_fresh)}"))


async def test_the_snapshot_tells_instances_versions_schemas_and_effects(nc, serve):
    directory = ToolDirectory(nc, NEVER)
    assert directory.served() == {}
    for version in ("1.0.0", "1.1.0", "1.1.0"):
        await serve(greeter(version))
    await serve(greeter("2.0.0", effects="once"))
    await read(directory)
    served = directory.served()
    assert list(served) == ["GREET"]
    assert len(served["GREET"].instances) == 4
    assert served["GREET"].versions == {"1.0.0": 1, "1.1.0": 2, "2.0.0": 1}
    assert served["GREET"].effects == {"none", "once"}
    (schema,) = served["GREET"].schemas
    assert "name" in json.dumps(schema)
    with pytest.raises(TypeError):
        served["OTHER"] = served["GREET"]


async def test_an_instance_that_is_gone_is_forgotten_with_the_next_reading(nc, serve):
    directory = ToolDirectory(nc, NEVER)
    first, second = await serve(greeter("1.0.0")), await serve(greeter("1.1.0"))
    await read(directory)
    before = directory.served()
    await first.stop()
    await read(directory)
    assert directory.served()["GREET"].versions == {"1.1.0": 1}
    await second.stop()
    await read(directory)
    assert directory.served() == {}
    assert before["GREET"].versions == {"1.0.0": 1, "1.1.0": 1}, "a snapshot stays as it was"


async def test_it_is_kept_current_in_the_background(nc, serve, eventually):
    directory = ToolDirectory(nc, 0.05)
    keeping = asyncio.create_task(directory.keep_current())
    serving = await serve(greeter("1.0.0"))
    await eventually(lambda: "GREET" in directory.served())
    await serving.stop()
    await eventually(lambda: "GREET" not in directory.served())
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    await eventually(lambda: not [task for task in asyncio.all_tasks() if task.get_name() == "tool discovery"])


async def test_an_answer_that_comes_late_loses_nobody(nc, announcer):
    directory = ToolDirectory(nc, NEVER)
    await read(directory)
    announcer.to_all = False
    for _ in range(served_tools._SILENT_READINGS + 2):
        await read(directory)
        assert list(directory.served()) == ["PAINT"]


async def test_an_instance_that_hangs_is_forgotten_after_some_readings(nc, announcer, monkeypatch):
    monkeypatch.setattr(served_tools, "_SECOND_ANSWER_SECONDS", 0.05)
    directory = ToolDirectory(nc, NEVER)
    await read(directory)
    announcer.to_all = announcer.to_its_name = False
    seen = []
    for _ in range(served_tools._SILENT_READINGS + 1):
        await read(directory)
        seen.append("PAINT" in directory.served())
    assert seen == [True] * (served_tools._SILENT_READINGS - 1) + [False, False]
    announcer.to_all = True
    await read(directory)
    assert "PAINT" in directory.served()


async def test_only_the_instance_itself_can_answer_to_its_name(nc, announcer):
    directory = ToolDirectory(nc, NEVER)
    await read(directory)
    announcer.to_all = False
    announcer.says = announcer.says.replace(b'"i1"', b'"i2"')
    await read(directory)
    assert directory.served() == {}


@pytest.mark.parametrize("service", ["a.*", ">", "", "two words", "x" * 400])
async def test_a_name_that_is_no_token_is_never_asked(nc, service):
    odd = Announcer(nc, service=service)
    await odd.start(own_subject=False)
    directory = ToolDirectory(nc, NEVER)
    await read(directory)
    assert list(directory.served()) == ["PAINT"]
    await odd.stop()
    await read(directory)
    assert directory.served() == {}


@pytest.mark.usefixtures("impatient")
async def test_unknown_tools_are_attempted_unless_they_are_to_be_rejected(nc, announcer):
    assert await ToolDirectory(nc, NEVER).find_tool_problems(plan_of("PAINT", "PAIN", "FOREIGN")) == []
    directory = ToolDirectory(nc, NEVER, "reject")
    problems = await directory.find_tool_problems(plan_of("PAINT", "PAIN", "FOREIGN", "PAIN"))
    assert [(one.path, one.code, one.message) for one in problems] == [
        ("plan.steps[1].tool", "unknown_tool", "nobody serves PAIN; did you mean PAINT?"),
        (
            "plan.steps[2].tool",
            "unknown_tool",
            "nobody serves FOREIGN: correct the name, or start the tool first",
        ),
        ("plan.steps[3].tool", "unknown_tool", "nobody serves PAIN; did you mean PAINT?"),
    ]


@pytest.mark.usefixtures("impatient")
async def test_params_are_checked_beside_unknown_tools(nc, serve):
    await serve(greeter("1.0.0"))
    directory = ToolDirectory(nc, NEVER, "reject")
    problems = await directory.find_tool_problems(plan_of("GREET", "GRET", params={"name": 7}))
    assert [(one.path, one.code) for one in problems] == [
        ("plan.steps[0].params.name", "invalid_params"),
        ("plan.steps[1].tool", "unknown_tool"),
    ]


async def test_a_responder_that_answers_late_makes_no_tool_unknown(nc, announcer):
    announcer.delay = 0.5
    directory = ToolDirectory(nc, NEVER, "reject")
    assert await directory.find_tool_problems(plan_of("PAINT")) == []


@pytest.mark.usefixtures("impatient")
async def test_a_tool_that_was_there_a_moment_ago_is_not_unknown(nc, announcer):
    directory = ToolDirectory(nc, NEVER, "reject")
    await read(directory)
    await announcer.stop()
    await read(directory)
    assert directory.served() == {}
    assert await directory.find_tool_problems(plan_of("PAINT")) == []


@pytest.mark.usefixtures("impatient")
async def test_a_tool_that_is_gone_for_good_becomes_unknown(nc, announcer, eventually):
    directory = ToolDirectory(nc, 0.02, "reject")
    await read(directory)
    await announcer.stop()

    async def is_unknown():
        return bool(await directory.find_tool_problems(plan_of("PAINT")))

    await eventually(is_unknown)


@pytest.mark.usefixtures("impatient")
async def test_a_tool_that_comes_back_is_known_at_once(nc, announcer):
    directory = ToolDirectory(nc, NEVER, "reject")
    await announcer.stop()
    assert len(await directory.find_tool_problems(plan_of("PAINT"))) == 1
    await announcer.start()
    assert await directory.find_tool_problems(plan_of("PAINT")) == []


@pytest.mark.usefixtures("impatient")
async def test_plans_at_the_same_moment_share_the_questions(nc, announcer):
    directory = ToolDirectory(nc, NEVER, "reject")
    plans = [plan_of(f"UNKNOWN_{number}") for number in range(50)]
    found = await asyncio.gather(*map(directory.find_tool_problems, plans))
    assert [len(problems) for problems in found] == [1] * 50
    assert announcer.asked <= 4


async def test_nothing_is_rejected_when_nobody_could_be_asked(nc, announcer):
    cautious, daring = ToolDirectory(nc, NEVER, "reject"), ToolDirectory(nc, NEVER)
    await read(cautious)
    await nc.close()
    with pytest.raises(NatsError, match="nobody could be asked"):
        await cautious.find_tool_problems(plan_of("FOREIGN"))
    assert await cautious.find_tool_problems(plan_of("PAINT")) == [], "what is known is still known"
    assert await daring.find_tool_problems(plan_of("FOREIGN")) == []


@pytest.mark.usefixtures("impatient")
async def test_a_large_plan_of_unknown_tools_is_answered_soon(nc, announcer):
    directory = ToolDirectory(nc, NEVER, "reject")
    problems = await directory.find_tool_problems(plan_of(*(f"PAINT{number}" for number in range(10_000))))
    assert len(problems) == 10_000
    suggesting = [one for one in problems if "did you mean PAINT?" in one.message]
    assert 0 < len(suggesting) < 100, "suggestions take time, so not all get one"
