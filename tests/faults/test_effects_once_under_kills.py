"""Executors and responders are killed at random while plans run: no effect is lost, and none happens twice.

LEADPLAN_KILLS sets how many kills (40 by default), LEADPLAN_SEED the order of what is killed.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from leadplan_bus.stored_messages import read_subject

KILLS = int(os.environ.get("LEADPLAN_KILLS", "40"))
SEED = int(os.environ.get("LEADPLAN_SEED", "1"))
PLANS_AT_ONCE = 12
TOOLS = ("PAY_RESOLVED", "PAY_OR_FAIL", "PAY_AGAIN")
RESPONDER = [sys.executable, str(Path(__file__).with_name("ledger_responder.py"))]
EXECUTOR = [sys.executable, "-c", "from leadplan_executor.service import run; raise SystemExit(run())"]


class Fleet:
    """Two executors and two responders; who is killed starts again at once."""

    def __init__(self, nats_url: str, folder: Path) -> None:
        self.ledger = folder / "ledger"
        self._log = folder / "processes.log"
        self._environment = {
            **os.environ,
            "NATS_URL": nats_url,
            "LEADPLAN_LEASE_MS": "500",
            "LEADPLAN_LOG_LEVEL": "WARNING",
        }
        commands = [EXECUTOR, EXECUTOR, [*RESPONDER, str(self.ledger)], [*RESPONDER, str(self.ledger)]]
        self._processes = [(command, self._start(command)) for command in commands]

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)

    def kill(self, which: int) -> None:
        command, process = self._processes[which]
        process.kill()
        process.wait()
        self._processes[which] = (command, self._start(command))

    def stop(self) -> None:
        for _, process in self._processes:
            process.kill()
            process.wait()


def plan(number: int) -> dict[str, Any]:
    """Each tool twice, the second step after the first one; patient with tools that come and go."""
    retry = {"maxRetries": 100, "baseDelayMs": 50, "maxDelayMs": 200}
    steps = [
        {
            "id": f"{tool.lower()}_{part}",
            "tool": tool,
            "params": {"part": part},
            "timeoutMs": 1500,
            "retry": retry,
            "dependsOn": [f"{tool.lower()}_{part - 1}"] if part else [],
        }
        for tool in TOOLS
        for part in range(2)
    ]
    return {
        "plan": {
            "id": f"p{number}",
            "title": "Pay",
            "goal": {"description": "Pay everybody once"},
            "createdAt": "2026-11-23T09:15:02.417Z",
            "steps": steps,
        },
        "user": {"userId": "u_7"},
    }


@pytest.fixture
def fleet(nats_url: str, tmp_path: Path) -> Any:
    fleet = Fleet(nats_url, tmp_path)
    yield fleet
    fleet.stop()


async def test_every_effect_happens_once_whoever_dies(fleet: Fleet, nc: Client, eventually: Any, record_property: Any):
    completed: set[str] = set()

    async def note(message: Msg) -> None:
        if message.data.startswith(b'{"type":"PLAN_COMPLETED"'):
            completed.add(json.loads(message.data)["planId"])

    await nc.subscribe("plans.events.*", cb=note)
    await eventually(lambda: executors_are_up(nc), within=20)
    submitted = await run_under_kills(nc, fleet, completed)
    await eventually(lambda: len(completed) == submitted, within=60, what=f"the end of all plans (seed {SEED})")

    effects = Counter(fleet.ledger.read_text().splitlines())
    in_doubt = 0
    for number in range(submitted):
        for result in await results_of_sound_log(nc, f"p{number}"):
            in_doubt += check_effects(f"p{number}", result, effects)
    record_property("plans", submitted)
    record_property("effects", sum(effects.values()))
    record_property("keys left in doubt for a person", in_doubt)


async def executors_are_up(nc: Client) -> bool:
    try:
        await nc.jetstream().consumer_info("PLANS", "executors")
    except NatsError:
        return False
    return True


async def run_under_kills(nc: Client, fleet: Fleet, completed: set[str]) -> int:
    """Submit plans so that some always run, and kill somebody again and again; how many plans there were."""
    chance = random.Random(SEED)
    submitted = 0
    for _ in range(KILLS):
        while submitted - len(completed) < PLANS_AT_ONCE:
            await nc.jetstream().publish("plans.execute", json.dumps(plan(submitted)).encode())
            submitted += 1
        await asyncio.sleep(chance.uniform(0.05, 0.4))  # when to strike, not what to wait for
        fleet.kill(chance.randrange(4))
    return submitted


async def results_of_sound_log(nc: Client, plan_id: str) -> list[dict[str, Any]]:
    stored = await read_subject(nc, "PLAN_LOG", f"plans.log.{plan_id}")
    events = [json.loads(message.body) for message in stored]
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1)), f"{plan_id}, seed {SEED}"
    results: list[dict[str, Any]] = events[-1]["result"]["stepResults"]
    return results


def check_effects(plan_id: str, result: dict[str, Any], effects: Counter[str]) -> bool:
    """Hold a step's result against the ledger; whether its key was left in doubt."""
    tool = result["stepId"].rpartition("_")[0].upper()
    done = effects[f"{tool} {plan_id}:{result['stepId']}"]
    where = f"{plan_id} {result}, {done} effects, seed {SEED}"
    match tool, result["status"]:
        case "PAY_RESOLVED", "succeeded":
            assert done == 1, where
        case "PAY_AGAIN", "succeeded":
            assert done >= 1, where
        case "PAY_OR_FAIL", "succeeded":
            assert done == 1, where
        case "PAY_OR_FAIL", "skipped":
            assert done == 0, where
        case "PAY_OR_FAIL", "failed":
            assert (result["errorCode"], done <= 1) == ("in_doubt", True), where
            return True
        case _:
            raise AssertionError(where)
    return False
