"""``leadplan completion``: what a shell needs to complete commands, options and names of contexts."""

# ruff: noqa: PLC0415 - each command imports what it needs when it runs

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final

import typer

from leadplan_cli.examples import examples

VARIABLE: Final = "_LEADPLAN_COMPLETE"
"""Set by the shell's script when it asks for completions."""


class Shell(StrEnum):
    """The shells that there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def add_to(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(
        "completion",
        epilog=examples(
            "source <(leadplan completion bash)        in ~/.bashrc",
            "source <(leadplan completion zsh)         in ~/.zshrc, after compinit",
            "leadplan completion fish > ~/.config/fish/completions/leadplan.fish",
        ),
    )(completion)


def completion(shell: Annotated[Shell, typer.Argument(help="bash, zsh or fish.", metavar="SHELL")]) -> None:
    """Print the script that completes this command in a shell.

    It completes commands, options and names of contexts.
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]  # it re-exports it

    typer.echo(get_completion_script(prog_name="leadplan", complete_var=VARIABLE, shell=shell.value))


def answer_completions(environ: Mapping[str, str]) -> None:
    """Have typer know the shells, if a shell asks: other runs don't pay for loading them."""
    if VARIABLE in environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]  # it re-exports it

        completion_init()
