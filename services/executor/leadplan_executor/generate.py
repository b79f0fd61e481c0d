"""Write the generated parts of the pages in docs/: ``python -m leadplan_executor.generate [--check]``.

A generated part stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``; the rest is written by hand.
"""

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from leadplan_executor.core.diagram import plan_states, step_states
from leadplan_executor.settings_page import settings_table

DOCS_FOLDER = Path(__file__).parents[3] / "docs"
"""The folder of a checkout; an installed package has none."""
PARTS: Mapping[str, Callable[[], str]] = {
    "executor settings": settings_table,
    "plan states": plan_states,
    "step states": step_states,
}
"""What makes each part."""

_PART = re.compile(r"(?<=<!-- generated: )([^\n]+?)( -->\n).*?(?=<!-- end -->)", re.DOTALL)


def page_with_fresh_parts(text: str) -> str:
    """A page with its generated parts made anew.

    Raises:
        KeyError: it asks for a part that isn't in ``PARTS``.
    """
    return _PART.sub(lambda part: f"{part[1]}{part[2]}{PARTS[part[1]]()}\n", text)


def stale_pages(folder: Path) -> list[Path]:
    """The pages of a folder whose generated parts aren't what the code says."""
    return [page for page in sorted(folder.glob("*.md")) if _fresh(page) != page.read_text(encoding="utf-8")]


def _fresh(page: Path) -> str:
    return page_with_fresh_parts(page.read_text(encoding="utf-8"))


def main(arguments: list[str] | None = None, folder: Path = DOCS_FOLDER) -> int:
    """Run the command and return its exit code: 1 when ``--check`` finds stale pages, 2 outside of a checkout."""
    parser = argparse.ArgumentParser(
        prog="python -m leadplan_executor.generate",
        description="Write the generated parts of docs/*.md from the executor's settings and transition tables.",
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is stale, and name it")
    options = parser.parse_args(arguments)
    if not folder.is_dir():
        sys.stderr.write(f"there is no folder {folder}: this works in a checkout only\n")
        return 2
    stale = stale_pages(folder)
    if options.check:
        listed = "".join(f"  docs/{page.name}\n" for page in stale)
        if stale:
            sys.stderr.write(f"stale, run python -m leadplan_executor.generate (make schemas):\n{listed}")
        return 1 if stale else 0
    for page in stale:
        page.write_text(_fresh(page), encoding="utf-8")
    sys.stdout.write("".join(f"written: docs/{page.name}\n" for page in stale) or "all pages are up to date\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
