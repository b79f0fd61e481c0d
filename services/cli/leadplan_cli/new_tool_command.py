"""``leadplan new-tool NAME``: the beginning of a tool of one's own."""

# ruff: noqa: PLC0415 - each command imports what it needs when it runs

import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leadplan_cli.examples import examples

if TYPE_CHECKING:
    from leadplan_cli.new_tool.names import ToolNames


class Effects(StrEnum):
    """What ``--effects`` takes: the values of the contract, which isn't imported before it is needed."""

    NONE = "none"
    IDEMPOTENT = "idempotent"
    ONCE = "once"


def add_to(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(
        "new-tool",
        epilog=examples(
            "leadplan new-tool greet-people",
            "leadplan new-tool SEND_INVOICE --effects once --folder tools/invoices",
        ),
    )(new_tool)


def new_tool(
    name: Annotated[str, typer.Argument(help="The tool, as GREET_PEOPLE or greet-people.", metavar="NAME")],
    folder: Annotated[
        Path | None, typer.Option(help="Write it here; default: a folder of its name.", metavar="DIR")
    ] = None,
    effects: Annotated[
        Effects, typer.Option(help="What repeating a request does: nothing, nothing more, or harm.")
    ] = Effects.NONE,
) -> None:
    """Begin a tool of your own: a folder that runs.

    It holds a Python package with a handler, a test that passes, a README, a Dockerfile and a plan to try it with.
    Nothing that is there already is changed.
    """
    from leadplan_cli.new_tool.folder import write_new_tool
    from leadplan_cli.new_tool.names import ToolNames
    from leadplan_contracts import ToolEffects

    names = ToolNames.of(name)
    written = folder or Path(names.service)
    write_new_tool(written, names, ToolEffects(effects))
    typer.echo(_next_steps(written, names))


def _next_steps(folder: Path, names: "ToolNames") -> str:
    command = f"leadplan tool {names.tool}"
    return "\n".join(
        [
            f"{names.tool} stands in {folder}. What it does is up to you: {folder / names.module / 'responder.py'}",
            "",
            f"  cd {shlex.quote(str(folder))}",
            "  pip install -e '.[dev]'",
            "  pytest",
            f"  {command:36}  # NATS_URL says where the server is",
            "  leadplan submit plan.json --watch     # in another terminal",
        ]
    )
