"""``leadplan validate``: what an executor would say to a plan, before it is submitted."""

# ruff: noqa: PLC0415 - each command imports what it needs when it runs

from typing import TYPE_CHECKING, Annotated

import typer

from leadplan_cli.connection_options import connecting
from leadplan_cli.errors import FAILED, CommandError
from leadplan_cli.examples import examples

if TYPE_CHECKING:
    from leadplan_contracts.control import ValidationReport


def add_to(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(
        "validate",
        epilog=examples(
            "leadplan validate plan.json",
            'leadplan plan "Find vets in Hull" | leadplan validate -',
            "leadplan validate plan.json --offline --json | jq .problems",
        ),
    )(connecting(validate))


def validate(
    file: Annotated[
        str, typer.Argument(help="A submission as `leadplan plan` prints it; - reads standard input.", metavar="FILE")
    ],
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no executor: tools and their params aren't looked at.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 for warnings too.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="The executor's report as a line of JSON, and nothing else.")
    ] = False,
) -> None:
    """Check a plan without submitting it: all problems and warnings.

    An executor is asked, which knows the tools that are served now and what params they take. Exit code 0 for a
    valid plan, 1 for one that would be rejected or when no executor answers, 2 when the file can't be read.
    """
    from leadplan_cli.running import run
    from leadplan_cli.submission_files import read_submission
    from leadplan_contracts.wire import encode

    body = read_submission(file)
    report = _offline(body) if offline else run(_ask(body, file))
    if as_json:
        typer.echo(encode(report))
    else:
        _print(report, file, offline)
    if not report.valid or (strict and report.warnings):
        raise typer.Exit(FAILED)


def _offline(body: bytes) -> "ValidationReport":
    from leadplan_contracts import PlanRejectedError
    from leadplan_contracts.control import ValidationReport
    from leadplan_contracts.validation import read_plan_submission

    try:
        plan_id = read_plan_submission(body).plan.id
    except PlanRejectedError as error:
        return ValidationReport(valid=False, problems=error.problems, warnings=[], plan_id=error.plan_id)
    return ValidationReport(valid=True, problems=[], warnings=[], plan_id=plan_id)


async def _ask(body: bytes, file: str) -> "ValidationReport":
    from leadplan_cli.running import connected
    from leadplan_client import ExecutorSilentError, NoExecutorError, PlanClient

    try:
        async with connected("leadplan validate") as nc:
            return await PlanClient(nc).validate_json(body)
    except (NoExecutorError, ExecutorSilentError) as error:
        hint = f"leadplan validate {file} --offline checks what can be checked without one"
        raise CommandError(f"{error}; {hint}") from error


def _print(report: "ValidationReport", file: str, offline: bool) -> None:
    from leadplan_cli.plan_lines import number_of
    from leadplan_cli.terminal import printable

    what = f"plan {report.plan_id}" if report.plan_id else "this"
    for kind, problems in (("problem", report.problems), ("warning", report.warnings)):
        for problem in problems:
            where = printable(problem.path or "message")
            typer.echo(f"{kind}  {where}: {printable(problem.message)} [{problem.code}]")
    if not report.valid:
        typer.echo(f"{what} would be rejected: {number_of(len(report.problems), 'problem')}")
        return
    said = f", with {number_of(len(report.warnings), 'warning')}" if report.warnings else ""
    without = " (its tools and their params weren't looked at)" if offline else ""
    typer.echo(f"{what} is valid{said}{without}; next: leadplan submit {file} --watch")
