"""Tables of text: aligned columns, colours where they are wanted, and nothing in them that steers the terminal."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from leadplan_cli.terminal import printable, wants_colours

_WIDE = 1000


def print_table(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print aligned columns: as wide as the terminal, and whole where standard output is none.

    A cell is empty for None, and may be a ``Text`` that has a style.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", expand=False)
    for heading in headings:
        table.add_column(heading, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*(value if isinstance(value, Text) else Text(_shown(value)) for value in row))
    print_renderable(table)


def print_renderable(renderable: Any) -> None:
    """Print something of rich's, without blanks at the ends of lines."""
    width = None if sys.stdout.isatty() else _WIDE
    console = Console(file=sys.stdout, width=width, highlight=False, force_terminal=wants_colours(sys.stdout))
    with console.capture() as capture:
        console.print(renderable)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))


def _shown(value: Any) -> str:
    # What others wrote about themselves must not steer the terminal; that it tried to is worth seeing in a table.
    return "" if value is None else printable(str(value), instead="�")
