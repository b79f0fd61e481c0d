"""Options that several commands of ``leadplan leads`` take, and how their texts are read."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from leadplan_cli.errors import BAD_USE, CommandError

AccountOption = Annotated[
    str | None,
    typer.Option(help="Whose leads (a user's id, where there is no account). Not needed if only one has any."),
]
DatabaseOption = Annotated[
    str | None,
    typer.Option(
        help="SQLAlchemy URL of the lead database; default: LEADPLAN_LEADS_DATABASE_URL, else sqlite:///leads.db. "
        "A URL with a password belongs into the variable.",
        metavar="URL",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON lines on standard output and nothing else.")]

_AGE = re.compile(r"(\d{1,6})([hdw])")
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def moment(text: str, option: str = "--since") -> datetime:
    """The time that a text means: a day or a time (UTC unless it says otherwise), or an age such as 7d.

    Raises:
        CommandError: it is none.
    """
    try:
        if age := _AGE.fullmatch(text.strip()):
            return datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])})
        time = datetime.fromisoformat(text.strip())
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        message = f"{option} {text!r} is no day such as 2026-11-23, no time and no age such as 7d or 12h"
        raise CommandError(message, exit_code=BAD_USE) from None
