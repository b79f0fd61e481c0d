"""Submissions in files and on standard input."""

import sys
from pathlib import Path

from leadplan_cli.errors import BAD_USE, CommandError


def read_submission(file: str) -> bytes:
    """The file's content; ``-`` is standard input.

    Raises:
        CommandError: it can't be read.
    """
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise CommandError(f"can't read {file}: {error.strerror}", exit_code=BAD_USE) from error
