"""Finding the tools that installed packages bring (entry point group ``leadplan.tools``)."""

import difflib
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from leadplan_cli.errors import BAD_USE, CommandError, missing_extra

if TYPE_CHECKING:
    from leadplan_responder import Responder

GROUP = "leadplan.tools"


def installed_tools() -> dict[str, EntryPoint]:
    """Entry points by tool name, sorted."""
    return {entry.name: entry for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name)}


def own_tools() -> list[str]:
    """Names of the tools that leadplan itself brings: those that ``dev`` knows the settings of."""
    return [name for name, entry in installed_tools().items() if entry.dist and entry.dist.name == "leadplan"]


def tool_name(text: str) -> str:
    """``hunter-enrich`` as ``HUNTER_ENRICH``.

    Raises:
        CommandError: no installed package brings such a tool.
    """
    name = text.upper().replace("-", "_")
    installed = installed_tools()
    if name not in installed:
        alike = difflib.get_close_matches(name, installed, n=1)
        hint = f"did you mean {alike[0]}?" if alike else f"there are {', '.join(installed) or 'none installed'}"
        raise CommandError(f"no tool is called {text!r}: {hint}", exit_code=BAD_USE)
    return name


def load_tool(text: str) -> "Callable[[], Responder]":
    """The function that makes a tool's responder.

    Raises:
        CommandError: there is no such tool, or what it needs isn't installed.
    """
    entry = installed_tools()[tool_name(text)]
    try:
        factory: Callable[[], Responder] = entry.load()
    except ModuleNotFoundError as error:
        raise missing_extra(error, "tools") from error
    return factory
