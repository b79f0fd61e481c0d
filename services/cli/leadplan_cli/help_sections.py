"""The help of ``leadplan`` itself: commands by what one wants to do, then options. Plain text, without rich."""

from collections.abc import Mapping
from typing import Any, Final

from typer.core import TyperGroup

from leadplan_cli.connection_options import PANEL, connects

SECTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "Try it on this machine": ("demo", "dev"),
    "Run plans": ("plan", "validate", "submit", "watch", "list", "status", "result"),
    "Steer plans": ("cancel", "pause", "resume", "retry", "approve", "deny"),
    "Look deeper": ("events", "graph", "tools", "doctor"),
    "Leads and recurring plans": ("leads", "monitors"),
    "Serve, one process each": ("executor", "tool", "sandbox", "health"),
    "Write a tool": ("new-tool", "conformance"),
    "Set up this command": ("context", "completion"),
}
"""Every command, in the order in which the help lists them."""

_OTHERS = "Other commands"


class SectionedGroup(TyperGroup):
    """Lists commands in sections, each with its title, and the options behind them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names in the order of the sections."""
        order = [name for names in SECTIONS.values() for name in names]
        return sorted(self.commands, key=lambda name: order.index(name) if name in order else len(order))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands first: they are what a reader looks for."""
        self.format_commands(ctx, formatter)
        general = [one for one in self.get_params(ctx) if getattr(one, "rich_help_panel", None) != PANEL]
        about_server = [one for one in self.get_params(ctx) if one not in general]
        for title, options in (("Options", general), ("Options on the server, before a command", about_server)):
            rows = [record for one in options if (record := one.get_help_record(ctx)) is not None]
            with formatter.section(title):
                formatter.write_dl(rows)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write one list a section."""
        left = self.list_commands(ctx)
        width = max(len(name) for name in left)
        for title, names in {**SECTIONS, _OTHERS: tuple(left)}.items():
            shown = [name for name in names if name in left]
            left = [name for name in left if name not in shown]
            if shown:
                with formatter.section(title):
                    formatter.write_dl(
                        # Padded, so that all sections have the same columns.
                        [(name.ljust(width), self.commands[name].get_short_help_str(90)) for name in shown]
                    )

    def connecting_command(self, name: str) -> bool:
        """Whether a command, or one below it, talks to the server that the options on the server choose."""
        command = self.commands[name]
        below = getattr(command, "commands", {}).values()
        return any(connects(one.callback) for one in (command, *below))
