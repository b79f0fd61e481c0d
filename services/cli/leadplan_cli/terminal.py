"""What a terminal gets that a pipe doesn't: colours and signs."""

import os
from collections.abc import Mapping
from typing import Final, TextIO

_RESET: Final = "\x1b[0m"
STYLES: Final[Mapping[str, str]] = {
    "bold": "\x1b[1m",
    "dim": "\x1b[2m",
    "red": "\x1b[31m",
    "green": "\x1b[32m",
    "yellow": "\x1b[33m",
    "cyan": "\x1b[36m",
}


def wants_colours(out: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether to colour: on terminals, never with ``NO_COLOR``, always with ``FORCE_COLOR``.

    ``NO_COLOR`` counts when it isn't empty (no-color.org); so does ``FORCE_COLOR``, unless it is 0 (force-color.org).
    """
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR", "") not in ("", "0"):
        return True
    return out.isatty() and environ.get("TERM") != "dumb"


class Paint:
    """Colours texts, or leaves them as they are."""

    def __init__(self, out: TextIO, environ: Mapping[str, str] = os.environ) -> None:
        self.on = wants_colours(out, environ)
        self.signs = (out.encoding or "").lower().startswith("utf")

    def __call__(self, text: str, style: str | None) -> str:
        """The text in a style of ``STYLES``."""
        return f"{STYLES[style]}{text}{_RESET}" if self.on and style and text else text


def printable(text: str, instead: str = " ") -> str:
    """A text that others wrote, on one line, with something harmless instead of whatever steers a terminal."""
    return "".join(character if character.isprintable() else instead for character in text)
