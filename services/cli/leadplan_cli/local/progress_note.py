"""Telling what is being waited for: a line that changes on a terminal, lines elsewhere."""

import contextlib
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress_note() -> Iterator[Callable[[str], None]]:
    """A function that shows what goes on now, on standard error."""
    if not sys.stderr.isatty():
        yield lambda text: print(f"{text} …", file=sys.stderr, flush=True)  # noqa: T201 - this is the output
        return
    from rich.console import Console  # noqa: PLC0415 - loaded on terminals only

    with Console(stderr=True).status("starting …") as status:
        yield lambda text: status.update(f"{text} …")
