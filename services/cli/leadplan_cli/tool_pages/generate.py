"""Write the generated parts of docs/tools/<TOOL>.md: ``python -m leadplan_cli.tool_pages [--check | --start TOOL]``.

A generated part stands between ``<!-- generated: params -->`` or ``<!-- generated: returns -->`` and ``<!-- end -->``;
the rest is written by hand.
"""

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path

from leadplan_cli.errors import CommandError
from leadplan_cli.installed_tools import tool_name
from leadplan_cli.tool_pages.tables import params_table, returns_table, tool_of
from leadplan_responder import ConfigurationError
from leadplan_responder.responder import Tool

PAGES_FOLDER = Path(__file__).parents[4] / "docs" / "tools"
"""The folder of a checkout; an installed package has none."""
INDEX = "README.md"
PARTS: Mapping[str, Callable[[Tool], str]] = {"params": params_table, "returns": returns_table}
"""What makes each part."""

_PART = re.compile(r"(?<=<!-- generated: )([^\n]+?)( -->\n).*?(?=<!-- end -->)", re.DOTALL)


def tool_pages(folder: Path) -> list[Path]:
    """The pages of a folder, one a tool; its index is none."""
    return [page for page in sorted(folder.glob("*.md")) if page.name != INDEX]


def fresh(page: Path) -> str:
    """The text of a page with its generated parts made anew.

    Raises:
        CommandError: the page is of no installed tool, or asks for a part that isn't in ``PARTS``.
    """
    tool = tool_of(tool_name(page.stem))

    def make(part: re.Match[str]) -> str:
        if part[1] not in PARTS:
            raise CommandError(f"{page.name}: nothing generates {part[1]!r}, only {' and '.join(PARTS)}")
        return f"{part[1]}{part[2]}{PARTS[part[1]](tool)}\n"

    return _PART.sub(make, page.read_text(encoding="utf-8"))


def stale_pages(folder: Path) -> list[Path]:
    """The pages whose generated parts aren't what the code says."""
    return [page for page in tool_pages(folder) if fresh(page) != page.read_text(encoding="utf-8")]


def start_page(folder: Path, name: str) -> Path:
    """Write the page of a tool that has none, for its author to go on with.

    Raises:
        CommandError: there is no such tool, or it has a page.
    """
    tool = tool_of(tool_name(name))
    page = folder / f"{tool.name}.md"
    if page.exists():
        raise CommandError(f"{tool.name} has a page already: {page.name}")
    template = (files("leadplan_cli.tool_pages") / "page.md.template").read_text(encoding="utf-8")
    page.write_text(template.replace("TOOL", tool.name).replace("DESCRIPTION", tool.description), encoding="utf-8")
    page.write_text(fresh(page), encoding="utf-8")
    return page


def main(arguments: list[str] | None = None, folder: Path = PAGES_FOLDER) -> int:
    """Run the command; returns its exit code: 1 when ``--check`` finds stale pages, 2 for bad use."""
    options = _parser().parse_args(arguments)
    if not folder.is_dir():
        sys.stderr.write(f"there is no folder {folder}: this works in a checkout only\n")
        return 2
    try:
        return _run(options, folder)
    except (CommandError, ConfigurationError, TypeError) as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m leadplan_cli.tool_pages",
        description="Write the tables of docs/tools/*.md from the tools' params models and what their handlers return.",
    )
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is stale, and name it")
    choice.add_argument("--start", metavar="TOOL", help="write the page of a tool that has none")
    return parser


def _run(options: argparse.Namespace, folder: Path) -> int:
    if options.start:
        sys.stdout.write(f"written: docs/tools/{start_page(folder, options.start).name}\n")
        return 0
    stale = stale_pages(folder)
    if options.check:
        if stale:
            listed = "".join(f"  docs/tools/{page.name}\n" for page in stale)
            sys.stderr.write(f"stale, run python -m leadplan_cli.tool_pages (make schemas):\n{listed}")
        return 1 if stale else 0
    for page in stale:
        page.write_text(fresh(page), encoding="utf-8")
    sys.stdout.write("".join(f"written: docs/tools/{page.name}\n" for page in stale) or "all pages are up to date\n")
    return 0
