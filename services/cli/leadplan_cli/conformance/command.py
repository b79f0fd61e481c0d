"""``leadplan conformance TOOL``: the checks on the command line."""

# ruff: noqa: PLC0415 - each command imports what it needs when it runs

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from leadplan_cli.connection_options import connecting
from leadplan_cli.errors import BAD_USE, FAILED, CommandError
from leadplan_cli.examples import examples

if TYPE_CHECKING:
    from leadplan_cli.conformance.checks import CheckResult

JsonOption = Annotated[bool, typer.Option("--json", help="JSON lines on standard output and nothing else.")]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "conformance",
        epilog=examples(
            """leadplan conformance GREET --params '{"name": "Ada"}' --error-params '{"name": 7}'""",
            """leadplan conformance HUNTER_ENRICH --params '{"sourceStepId": "people"}' --prior-data @people.json""",
        ),
    )(connecting(conformance))


def conformance(
    tool: Annotated[str, typer.Argument(help="The tool, as HUNTER_ENRICH or hunter-enrich.", metavar="TOOL")],
    params: Annotated[str, typer.Option(help="Params that the tool does well with.", metavar="JSON")],
    error_params: Annotated[
        str | None, typer.Option(help="Params that make the tool report an error.", metavar="JSON")
    ] = None,
    prior_data: Annotated[str | None, typer.Option(help="Data of prior steps, by step id.", metavar="JSON")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds that each request may take.", min=0.1)] = 30.0,
    at_once: Annotated[int, typer.Option(help="Requests at the same moment.", min=1, max=1000)] = 20,
    as_json: JsonOption = False,
) -> None:
    """Check a running responder against the tool protocol.

    One line for each check: ok, failed (with what to do) or not checked. The tool is really run, some forty times,
    each time under another idempotency key: use params that cost nothing and do no harm. Instead of JSON, @FILE can be
    given. Exit code 0 when nothing failed, 1 when something did, 2 when there is nobody to check.
    """
    from leadplan_cli.running import run
    from leadplan_contracts.wire import TOOL_PATTERN

    name = tool.upper().replace("-", "_")
    if not re.match(TOOL_PATTERN, name):
        raise CommandError(f"{tool!r} is no tool name, such as HUNTER_ENRICH", exit_code=BAD_USE)
    given = {
        "tool": name,
        "params": _object("--params", params),
        "error_params": None if error_params is None else _object("--error-params", error_params),
        "prior_data": {} if prior_data is None else _object("--prior-data", prior_data),
        "timeout_ms": round(timeout * 1000),
        "at_once": at_once,
    }
    results = run(_check(given, as_json))
    failures = _count(results, "failed")
    if not as_json:
        counts = (f"{_count(results, outcome)} {outcome}" for outcome in ("ok", "failed", "not checked"))
        typer.echo(f"{name}: {', '.join(counts)}")
    if failures:
        raise typer.Exit(FAILED)


async def _check(given: dict[str, Any], as_json: bool) -> "list[CheckResult]":
    from leadplan_cli.conformance.checks import NobodyListensError, Probe, run_checks
    from leadplan_cli.running import connected

    async with connected("leadplan conformance") as nc:
        try:
            return await run_checks(Probe(nc, **given), _show_json if as_json else _show_line)
        except NobodyListensError as error:
            raise CommandError(str(error), exit_code=BAD_USE) from error


def _show_line(result: "CheckResult") -> None:
    line = f"{result.outcome:<11}  {result.check:<17}  {_one_line(result.message)}"
    typer.echo(f"{line} -> {_one_line(result.advice)}" if result.advice else line)


def _show_json(result: "CheckResult") -> None:
    from leadplan_contracts.wire import encode

    typer.echo(encode(result._asdict()))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _count(results: "list[CheckResult]", outcome: str) -> int:
    return sum(result.outcome == outcome for result in results)


def _object(option: str, text: str) -> dict[str, Any]:
    import json
    from pathlib import Path

    try:
        value = json.loads(Path(text[1:]).read_bytes() if text.startswith("@") else text)
    except OSError as error:
        raise CommandError(f"{option}: can't read {text[1:]}: {error.strerror}", exit_code=BAD_USE) from error
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{option} is no JSON: {error}", exit_code=BAD_USE) from error
    if not isinstance(value, dict):
        raise CommandError(f"{option} must be a JSON object, such as {{}}", exit_code=BAD_USE)
    return value
