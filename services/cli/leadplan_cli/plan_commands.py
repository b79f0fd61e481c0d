"""``leadplan plan``, ``submit`` and ``watch``: what a Supervisor does, from the command line."""

# ruff: noqa: PLC0415 - each command imports what it needs when it runs

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from leadplan_cli.connection_options import connecting
from leadplan_cli.errors import BAD_USE, CommandError
from leadplan_cli.examples import examples

if TYPE_CHECKING:
    from leadplan_contracts import LeadPlanEventPayload

JsonOption = Annotated[bool, typer.Option("--json", help="JSON lines on standard output and nothing else.")]


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command(
        "plan",
        epilog=examples(
            'leadplan plan "Find dentists in Leeds and start outreach" --target 40 --sequence 42 -o plan.json',
            'leadplan plan "Find vets in Hull" --no-monitor | leadplan submit - --watch',
        ),
    )(plan)
    app.command(
        "submit",
        epilog=examples(
            "leadplan submit plan.json --watch",
            "leadplan submit plan.json --json",
        ),
    )(connecting(submit))
    app.command(
        "watch",
        epilog=examples(
            "leadplan watch plan_01HZX4",
            "leadplan watch plan_01HZX4 --json | jq -r .type",
        ),
    )(connecting(watch))


def plan(
    goal: Annotated[str, typer.Argument(help="What you want, in words.", metavar="GOAL")],
    target: Annotated[int | None, typer.Option(help="How many places to search for (at most 60).", min=1)] = None,
    country: Annotated[str | None, typer.Option(help="Two letters, such as GB.")] = None,
    language: Annotated[str | None, typer.Option(help="Of names and addresses, such as en.")] = None,
    list_name: Annotated[str | None, typer.Option(help="The lead list; default: after the goal.")] = None,
    sequence: Annotated[
        int | None, typer.Option(help="Id of the Hunter sequence for the outreach; without it there is no outreach.")
    ] = None,
    start: Annotated[bool, typer.Option("--start", help="Start the sequence, which sends mail.")] = False,
    contacts_per_domain: Annotated[int | None, typer.Option(help="1 to 100.", min=1, max=100)] = None,
    schedule: Annotated[
        str | None, typer.Option(help="Of the monitor: five-field cron or 'every 6h'. Default: Mondays at nine.")
    ] = None,
    time_zone: Annotated[str | None, typer.Option(help="Of the schedule, such as Europe/London. Default: UTC.")] = None,
    monitor: Annotated[bool, typer.Option("--monitor/--no-monitor", help="Repeat the search on a schedule.")] = True,
    context: Annotated[
        list[str] | None, typer.Option(help="A further context key; JSON or plain text.", metavar="KEY=VALUE")
    ] = None,
    plan_id: Annotated[str | None, typer.Option("--id", help="The plan's id; default: a fresh one.")] = None,
    user_id: Annotated[str, typer.Option(help="On whose behalf it runs.")] = "cli",
    account_id: Annotated[str | None, typer.Option(help="The user's account.")] = None,
    email: Annotated[str | None, typer.Option(help="The user's address.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file.")] = None,
) -> None:
    """Print the plan for a goal, as JSON to submit.

    No language model is involved: the same words give the same plan. Edit it, or submit it as it is.
    """
    from leadplan_client.planner import plan_lead_generation
    from leadplan_contracts import LeadGenGoal, PlanSubmission, SupervisorUserContext

    keys = {
        "country": country,
        "language": language,
        "listName": list_name,
        "sequenceId": sequence,
        "startSequence": start or None,
        "contactsPerDomain": contacts_per_domain,
        "schedule": schedule if monitor else False,
        "timeZone": time_zone,
    }
    given = {key: value for key, value in keys.items() if value is not None} | _further_context(context or [])
    built = plan_lead_generation(LeadGenGoal(description=goal, target_count=target), given, plan_id=plan_id)
    user = SupervisorUserContext(user_id=user_id, account_id=account_id, email=email)
    _print_submission(PlanSubmission(plan=built, user=user), output)


def submit(
    file: Annotated[str, typer.Argument(help="A submission as `leadplan plan` prints it; - reads standard input.")],
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow the plan to its end.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Put a plan into the work queue.

    The plan is checked first, and every problem is listed. With --watch the exit code is 0 when the plan succeeded and
    1 when it didn't; without it, 0 means that the server has stored the plan. The same plan sent twice runs once.
    """
    from leadplan_cli.checked_submissions import checked_submission
    from leadplan_cli.running import run
    from leadplan_cli.submission_files import read_submission

    body = read_submission(file)
    plan_id = checked_submission(body, ", and nothing was sent").plan.id
    last = run(_submit(body, plan_id, watch, as_json))
    if last is not None:
        _exit_after(last)


def watch(
    plan_id: Annotated[str, typer.Argument(help="The plan's id.", metavar="PLAN_ID")], as_json: JsonOption = False
) -> None:
    """Follow a plan from its first event to its last.

    It may run, have ended long ago, or not be there yet. Ctrl-C ends the watching, not the plan. Exit code 0 when
    the plan succeeded, 1 when it didn't.
    """
    from leadplan_cli.running import run

    _exit_after(run(_watch(plan_id, as_json)))


def _further_context(pairs: list[str]) -> dict[str, Any]:
    import json

    given: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not key or not equals:
            raise CommandError(f"--context {pair!r} is no KEY=VALUE, such as minRating=4.5", exit_code=BAD_USE)
        try:
            given[key] = json.loads(text)
        except ValueError:
            given[key] = text
    return given


def _print_submission(submission: Any, output: Path | None) -> None:
    import msgspec

    text = msgspec.json.format(msgspec.json.encode(submission), indent=2).decode()
    if output is None:
        typer.echo(text)
        return
    try:
        output.write_text(f"{text}\n")
    except OSError as error:
        raise CommandError(f"can't write {output}: {error.strerror}", exit_code=BAD_USE) from error
    typer.echo(f"wrote {output}; next: leadplan submit {output} --watch", err=True)


async def _submit(body: bytes, plan_id: str, watching: bool, as_json: bool) -> "LeadPlanEventPayload | None":
    from leadplan_cli.running import connected
    from leadplan_cli.watching import watch as watch_to_the_end
    from leadplan_client import PlanClient
    from leadplan_contracts.wire import encode

    async with connected("leadplan submit") as nc:
        submission = await PlanClient(nc).submit_json(body)
        if watching:
            return await watch_to_the_end(nc, plan_id, as_json=as_json, submission=submission)
    if as_json:
        typer.echo(encode({"planId": plan_id, "submission": submission}))
    else:
        typer.echo(f"plan {plan_id} is safe in the work queue; next: leadplan watch {plan_id}")
    return None


async def _watch(plan_id: str, as_json: bool) -> "LeadPlanEventPayload":
    from leadplan_cli.running import connected
    from leadplan_cli.watching import watch as watch_to_the_end

    async with connected("leadplan watch") as nc:
        return await watch_to_the_end(nc, plan_id, as_json=as_json)


def _exit_after(last: "LeadPlanEventPayload") -> None:
    from leadplan_cli.watching import exit_code, rejection_of

    if rejection := rejection_of(last):
        raise CommandError(rejection)
    raise typer.Exit(exit_code(last))
