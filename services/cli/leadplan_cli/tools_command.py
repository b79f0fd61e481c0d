"""``leadplan tools``: who serves what, and how it goes."""

# ruff: noqa: PLC0415 - each command imports what it needs when it runs

from typing import TYPE_CHECKING, Annotated

import typer

from leadplan_cli.connection_options import connecting
from leadplan_cli.errors import BAD_USE, CommandError
from leadplan_cli.examples import examples

if TYPE_CHECKING:
    from leadplan_bus.discovery import AnnouncedTool
    from leadplan_bus.tool_survey import ToolSurvey

JsonOption = Annotated[bool, typer.Option("--json", help="JSON lines on standard output and nothing else.")]
_PATIENCE_SECONDS = 2.0


def add_to(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(
        "tools",
        epilog=examples(
            "leadplan tools",
            "leadplan tools HUNTER_ENRICH          (its params, and each instance that serves it)",
            "leadplan tools --json | jq -r .tool",
        ),
    )(connecting(tools))


def tools(
    tool: Annotated[
        str | None, typer.Argument(help="One tool, as HUNTER_ENRICH or hunter-enrich.", metavar="[TOOL]")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show which tools are served now, by whom, and how it goes.

    Requests, errors and the average time are those since the instances started. With a TOOL, what a step's params may
    hold, and each instance. Tools are asked for themselves: one that is served without the SDK, by a plain subscriber,
    announces nothing and isn't shown. Exit code 1 where nobody announces TOOL.
    """
    from leadplan_cli.running import run

    found, announced = run(_survey())
    if tool is not None:
        name = tool.upper().replace("-", "_")
        _show_one(_the_one(found, name), [one for one in announced if one.tool == name], as_json)
    elif as_json:
        _show_json(found, announced)
    else:
        _show_all(found)


async def _survey() -> "tuple[list[ToolSurvey], list[AnnouncedTool]]":
    import asyncio

    from leadplan_bus.discovery import discover_tools
    from leadplan_bus.tool_survey import survey_tools
    from leadplan_cli.running import connected

    async with connected("leadplan tools") as nc:
        found, announced = await asyncio.gather(
            survey_tools(nc, longest=_PATIENCE_SECONDS), discover_tools(nc, longest=_PATIENCE_SECONDS)
        )
    return found, announced


def _the_one(found: "list[ToolSurvey]", name: str) -> "ToolSurvey":
    import difflib
    import re

    from leadplan_contracts.wire import TOOL_PATTERN

    if not re.match(TOOL_PATTERN, name):
        raise CommandError(f"{name!r} is no tool name, such as HUNTER_ENRICH", exit_code=BAD_USE)
    by_name = {one.tool: one for one in found}
    if name not in by_name:
        alike = difflib.get_close_matches(name, by_name, n=1)
        served = f"announced are {', '.join(by_name)}" if by_name else "and no other tool either"
        raise CommandError(f"nobody announces {name}: " + (f"did you mean {alike[0]}?" if alike else served))
    return by_name[name]


def _show_all(found: "list[ToolSurvey]") -> None:
    from leadplan_cli.text_tables import print_table
    from leadplan_cli.tool_lines import HEADINGS, tool_row

    if not found:
        typer.echo("Nobody serves a tool here. Start one: leadplan tool hunter-enrich; or try: leadplan dev")
        return
    print_table(HEADINGS, [tool_row(one) for one in found])


def _show_json(found: "list[ToolSurvey]", announced: "list[AnnouncedTool]") -> None:
    from leadplan_cli.tool_lines import schema_of, tool_json

    for one in found:
        typer.echo(tool_json(one, schema_of(one.tool, announced)))


def _show_one(found: "ToolSurvey", announced: "list[AnnouncedTool]", as_json: bool) -> None:
    from leadplan_cli.text_tables import print_table
    from leadplan_cli.tool_lines import (
        INSTANCE_HEADINGS,
        headline,
        instance_rows,
        param_lines,
        schema_of,
        tool_json,
    )

    schema = schema_of(found.tool, announced)
    if as_json:
        typer.echo(tool_json(found, schema))
        return
    typer.echo(headline(found))
    if schema is None:
        typer.echo("\nParams: it announces no schema, so plans aren't checked.")
    else:
        typer.echo("\n".join(["", "Params:", *(param_lines(schema) or ["  none that its schema names"])]))
    typer.echo("\nInstances:")
    print_table(INSTANCE_HEADINGS, instance_rows(found))
