"""``leadplan demo`` and ``leadplan dev``: everything on this machine, with one command."""

# ruff: noqa: PLC0415 - each command imports what it needs when it runs

import os
from pathlib import Path
from typing import Annotated

import typer

from leadplan_cli.examples import examples
from leadplan_cli.plan_commands import JsonOption

SANDBOX_SEQUENCE = 42
"""The sequence of the sandbox that takes recipients."""

DEV_FOLDER = Path(".leadplan")


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command(
        "demo",
        epilog=examples(
            "leadplan demo",
            'leadplan demo --goal "Find bakeries in Paris" --target 10',
            "leadplan demo --fail HUNTER_ENRICH      (retries after 1 s and 2 s, the failure, what is skipped)",
            "leadplan demo --json | jq -r .type",
        ),
    )(demo)
    app.command(
        "dev",
        epilog=examples(
            "leadplan dev",
        ),
    )(dev)


def demo(
    goal: Annotated[str, typer.Option(help="What the plan is to do, in words.")] = (
        "Find dentists in Leeds and start outreach"
    ),
    target: Annotated[int, typer.Option(help="How many places to search for.", min=1, max=60)] = 20,
    fail: Annotated[
        list[str] | None, typer.Option(help="Make this tool fail; can be given several times.", metavar="TOOL")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a plan from goal to result, and watch it live.

    Starts a NATS server (unless NATS_URL names one), an executor, the six tools as processes of their own, and a
    sandbox that stands in for the paid APIs: no keys are needed, no mail is sent, and nothing is left behind. Then the
    plan's monitor fires once. Shows what can be read back: the leads, the monitor, and that its run adds nobody twice.
    With --json, the events of both runs and nothing else; their planId tells them apart. Exit code 0 when both runs
    succeeded, 1 when one failed or was partial.

    On the server that NATS_URL names, tools that listen there already take part, also in steps that --fail is to break.
    """
    from leadplan_cli.installed_tools import tool_name
    from leadplan_cli.local.demo import Demo, run_demo
    from leadplan_cli.running import run
    from leadplan_client.planner import plan_lead_generation
    from leadplan_contracts import LeadGenGoal

    context = {
        "sequenceId": SANDBOX_SEQUENCE,
        "startSequence": True,
        "timeZone": "Europe/London",
        # Hunter's rate limits hold here as well: with more of them the demo takes longer and shows nothing else.
        "contactsPerDomain": 3,
    }
    plan = plan_lead_generation(LeadGenGoal(description=goal, target_count=target), context)
    tools = [step.tool for step in plan.steps]
    failing = [tool_name(name) for name in fail or []]
    raise typer.Exit(run(run_demo(Demo(plan, _given_nats_url(), tools, failing, as_json))))


def dev() -> None:
    """Keep everything running until Ctrl-C.

    That is a NATS server, an executor, all tools and the sandbox that stands in for the paid APIs. Data is kept in
    .leadplan in the current folder. With NATS_URL set, that server is used and none is started. Prints the
    addresses and what to try next.
    """
    from leadplan_cli.installed_tools import own_tools
    from leadplan_cli.local.dev import run_dev
    from leadplan_cli.running import run

    run(run_dev(DEV_FOLDER.absolute(), _given_nats_url(), own_tools()))


def _given_nats_url() -> str | None:
    return os.environ.get("NATS_URL") or None
