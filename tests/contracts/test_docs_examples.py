"""The complete files of docs/ work: each is written out and run against a real NATS server and a real executor."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent.parent / "docs"
FILES = {
    name: text
    for page in sorted(DOCS.glob("*.md"))
    for name, text in re.findall(r"^```\w+ title=(\S+)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
}
EXECUTOR = ["-c", "from leadplan_executor.service import run; raise SystemExit(run())"]


class Folder:
    """The documented files in a folder of their own, and processes that run there."""

    def __init__(self, path, nats_url):
        self.path = path
        self.environment = {**os.environ, "NATS_URL": nats_url, "LEADPLAN_GRACE_MS": "1000"}
        for name, text in FILES.items():
            (path / name).write_text(text)

    def run(self, *arguments, program=sys.executable):
        return subprocess.run(
            [program, *arguments], cwd=self.path, env=self.environment, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip

    def begin(self, output, *arguments):
        """Start a process with its standard output in one file and its standard error in another beside it."""
        with output.open("wb") as stdout, output.with_suffix(".log").open("wb") as stderr:
            return subprocess.Popen(
                [sys.executable, *arguments], cwd=self.path, env=self.environment, stdout=stdout, stderr=stderr
            )

    @contextlib.contextmanager
    def running(self, *arguments, ready="serving"):
        """A process that says when it is ready; SIGTERM ends it with code 0."""
        output = self.path / f"{len(list(self.path.iterdir()))}.out"
        process = self.begin(output, *arguments)
        try:
            deadline = time.monotonic() + 20
            while ready not in (said := output.read_text() + output.with_suffix(".log").read_text()):
                assert process.poll() is None, said
                assert time.monotonic() < deadline, f"{arguments} isn't ready: {said}"
                time.sleep(0.02)
            yield
            process.terminate()
            assert process.wait(20) == 0, output.with_suffix(".log").read_text()
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def folder(tmp_path, nats_url):
    path = tmp_path / "files"
    path.mkdir()
    return Folder(path, nats_url)


@pytest.fixture
def executor(folder):
    with folder.running(*EXECUTOR):
        yield


def leadplan(folder, *arguments):
    return folder.run(*arguments, program=Path(sys.executable).with_name("leadplan"))


def events_of(lines):
    return [json.loads(line) for line in lines.splitlines()]


def stored(events):
    return [event for event in events if event["type"] != "STEP_PROGRESS"]


def test_every_complete_python_file_of_the_docs_is_run_here():
    source = Path(__file__).read_text()
    assert [name for name in FILES if f'"{name}"' not in source] == []
    untitled = {
        page.name: block
        for page in DOCS.glob("*.md")
        for block in re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    }
    assert untitled == {}, "give it a title, and run it here"


def test_the_smallest_tool(folder, executor):
    with folder.running("greet.py"):
        watched = leadplan(folder, "submit", "greet.json", "--watch", "--json")
    assert watched.returncode == 0, watched.stdout + watched.stderr
    (last,) = [event for event in events_of(watched.stdout) if event.get("type") == "PLAN_COMPLETED"]
    assert last["result"]["stepResults"][0]["data"] == {"greeting": "Hello Ada"}


def test_the_tests_of_a_tool_pass(folder):
    tests = folder.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_lead_score.py")
    assert tests.returncode == 0, tests.stdout
    assert "3 passed" in tests.stdout


def test_the_test_of_a_tool_with_a_checkpoint_passes(folder):
    alone = folder.run("-W", "error", "mail_check.py")
    assert (alone.returncode, alone.stderr) == (0, "")
    tests = folder.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mail_check.py")
    assert tests.returncode == 0, tests.stdout
    assert "1 passed" in tests.stdout


def test_a_tool_with_and_one_without_the_sdk_run_a_plan_that_is_submitted_and_followed(folder, executor):
    with folder.running("lead_score.py"), folder.running("csv_leads.py"):
        submitted = folder.run("submit.py", "score.json")
        assert submitted.stdout == "stored as message 1 of stream PLANS\n", submitted.stderr
        followed = folder.run("follow.py", "score-1")
    events = stored(events_of(followed.stdout))
    assert [event["sequence"] for event in events] == list(range(1, 7))
    assert events[-1]["type"] == "PLAN_COMPLETED", followed.stderr
    assert events[-1]["result"]["stepResults"][1]["data"] == {
        "scores": [{"email": "ada@example.com", "score": 100}, {"email": "ben@example.com", "score": 0}]
    }
    assert stored(events_of(folder.run("follow.py", "score-1").stdout)) == events


@pytest.fixture
async def start_follower(folder, nc, eventually):
    """Follow a plan, and wait until the feed reaches the follower: a process, and the file with what it prints."""
    started = []

    async def start(plan_id):
        output = folder.path / "followed"
        probe = {"type": "STEP_PROGRESS", "planId": plan_id, "step": {"id": "probe", "tool": "PROBE"}, "meta": {}}

        async def listens():
            await nc.publish(f"plans.events.{plan_id}", json.dumps(probe).encode())
            return "probe" in output.read_text()

        started.append(follower := folder.begin(output, "follow.py", plan_id))
        await eventually(listens, what="the follower listens")
        return follower, output

    yield start
    for process in started:
        process.kill()
        process.wait()


async def test_a_plan_is_followed_live_from_before_its_beginning(folder, executor, start_follower):
    follower, output = await start_follower("score-1")
    with folder.running("lead_score.py"), folder.running("csv_leads.py"):
        folder.run("submit.py", "score.json")
        assert follower.wait(30) == 0
    events = events_of(output.read_text())
    assert [event["sequence"] for event in stored(events)] == list(range(1, 7))
    progress = {event["step"]["id"] for event in events if event["type"] == "STEP_PROGRESS"}
    assert progress == {"probe", "people", "scores"}


async def test_following_goes_on_where_the_feed_lost_messages(folder, executor, start_follower, nats_server):
    follower, output = await start_follower("greet-1")
    with folder.running("greet.py"):
        # The follower reconnects after two seconds, the executor and the tool after a quarter.
        nats_server.stop()
        nats_server.start()
        submitted = folder.run("submit.py", "greet.json")
        assert submitted.returncode == 0, submitted.stderr
        assert follower.wait(30) == 0
    assert [event["sequence"] for event in stored(events_of(output.read_text()))] == [1, 2, 3, 4]


def test_a_bad_plan_is_followed_to_its_rejection_and_listed(folder, executor):
    plan = json.loads(FILES["score.json"])
    plan["plan"]["steps"][1]["dependsOn"] = ["nobody"]
    (folder.path / "bad.json").write_text(json.dumps(plan))
    submitted = folder.run("submit.py", "bad.json")
    assert submitted.returncode == 0, submitted.stderr
    followed = folder.run("follow.py", "score-1")
    (event,) = events_of(followed.stdout)
    assert event["type"] == "PLAN_REJECTED"
    listed = folder.run("rejects.py")
    assert "unknown_step at plan.steps[1].dependsOn[0]" in listed.stdout
    assert "source_not_a_dependency at plan.steps[1].params.sourceStepId" in listed.stdout


def test_submitting_where_no_executor_ever_ran_is_told(folder):
    submitted = folder.run("submit.py", "greet.json")
    assert submitted.returncode == 1
    assert "no executor has ever run on this server" in submitted.stderr


def test_a_step_that_needs_approval_fails_at_the_deadline(folder, executor):
    plan = json.loads(FILES["greet.json"])
    plan["plan"]["deadlineMs"] = 300
    plan["plan"]["steps"][0]["requiresApproval"] = True
    (folder.path / "approval.json").write_text(json.dumps(plan))
    watched = leadplan(folder, "submit", "approval.json", "--watch", "--json")
    assert watched.returncode == 1
    (last,) = [event for event in events_of(watched.stdout) if event.get("type") == "PLAN_COMPLETED"]
    assert last["result"]["stepResults"][0]["errorCode"] == "deadline_exceeded"
