"""``leadplan graph``: a plan drawn."""

# ruff: noqa: PLC0415 - each command imports what it needs when it runs

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leadplan_cli.connection_options import connecting
from leadplan_cli.errors import BAD_USE, CommandError
from leadplan_cli.examples import examples

if TYPE_CHECKING:
    from leadplan_cli.graph.model import PlanGraph


class GraphFormat(StrEnum):
    """What ``--format`` takes."""

    TREE = "tree"
    MERMAID = "mermaid"
    SVG = "svg"


def add_to(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(
        "graph",
        epilog=examples(
            "leadplan graph plan_01HZX4",
            "leadplan graph plan.json",
            "leadplan graph plan_01HZX4 -o plan.svg",
            'leadplan plan "Find vets in Hull" | leadplan graph - --format mermaid',
        ),
    )(connecting(graph))


def graph(
    plan: Annotated[
        str, typer.Argument(help="A plan's id, a file with a submission, or - for standard input.", metavar="PLAN|FILE")
    ],
    chosen: Annotated[
        GraphFormat | None, typer.Option("--format", help="Default: as the name of the output file ends, else tree.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file.", metavar="FILE")] = None,
) -> None:
    """Draw a plan: its steps, and what each waits for.

    A plan by its id is read from its log and shows how each step stands; a file is a submission as `leadplan plan`
    prints it. In the tree, a step stands below the one that it depends on, or behind an arrow where it alone follows.
    A step that waits for several stands once, below the last of them; below the others there is an arrow to its id.
    """
    drawn = _graph(plan)
    lines = _drawn(drawn, chosen or _format_of(output), to_file=output is not None)
    if output is None:
        typer.echo("\n".join(lines), color=True)
        return
    try:
        output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"can't write {output}: {error.strerror}", exit_code=BAD_USE) from error
    typer.echo(f"wrote {output}", err=True)


def _format_of(output: Path | None) -> GraphFormat:
    endings = {".svg": GraphFormat.SVG, ".mmd": GraphFormat.MERMAID, ".mermaid": GraphFormat.MERMAID}
    return endings.get(output.suffix.lower(), GraphFormat.TREE) if output is not None else GraphFormat.TREE


def _graph(plan: str) -> "PlanGraph":
    from leadplan_cli.checked_submissions import checked_submission
    from leadplan_cli.graph.model import graph_of
    from leadplan_cli.running import run
    from leadplan_cli.submission_files import read_submission

    # What has a dot or a slash is no plan's id.
    if plan == "-" or "." in plan or "/" in plan or Path(plan).is_file():
        return graph_of(checked_submission(read_submission(plan)).plan)
    return run(_graph_from_log(plan))


async def _graph_from_log(plan_id: str) -> "PlanGraph":
    import msgspec

    from leadplan_cli.event_log import decoded_events, stored_events
    from leadplan_cli.graph.model import graph_of
    from leadplan_cli.running import connected
    from leadplan_client.errors import UnknownPlanError
    from leadplan_contracts import LeadGenPlan
    from leadplan_contracts.events import PlanStarted

    async with connected("leadplan graph") as nc:
        events = decoded_events(await stored_events(nc, plan_id))
    if not events:
        raise UnknownPlanError(plan_id)
    first = events[0]
    if not isinstance(first, PlanStarted):
        raise CommandError(f"the log of plan {plan_id} doesn't begin with the plan; try leadplan events {plan_id}")
    return graph_of(msgspec.json.decode(first.plan, type=LeadGenPlan), events)


def _drawn(drawn: "PlanGraph", chosen: GraphFormat, *, to_file: bool) -> list[str]:
    match chosen:
        case GraphFormat.TREE:
            from leadplan_cli.graph.text_tree import tree_lines
            from leadplan_cli.terminal import Paint

            return tree_lines(drawn, Paint(sys.stdout, {"NO_COLOR": "1"}) if to_file else Paint(sys.stdout))
        case GraphFormat.MERMAID:
            from leadplan_cli.graph.mermaid import mermaid_lines

            return mermaid_lines(drawn)
        case GraphFormat.SVG:
            from leadplan_cli.graph.svg import svg_lines

            return svg_lines(drawn)
