"""Options that several commands of ``leadplan leads`` take."""

from typing import Annotated

import typer

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
