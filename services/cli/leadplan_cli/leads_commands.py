"""``leadplan leads``: reading the lead lists, and saying who must not be contacted."""

# ruff: noqa: PLC0415 - each command imports what it needs when it runs

import contextlib
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from leadplan_cli import leads_suppression_commands
from leadplan_cli.errors import BAD_USE, CommandError, missing_extra
from leadplan_cli.examples import examples
from leadplan_cli.leads_options import AccountOption, DatabaseOption, JsonOption
from leadplan_cli.moments import moment

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from leadplan_cli.leads_database import AccountInDatabase
    from leadplan_leads.listing import LeadFilter, ListSummary

_NEW_FOR = "7d"
_SHOWN_COLUMNS = {
    "Email": "email",
    "First name": "first_name",
    "Last name": "last_name",
    "Company": "company_name",
    "Position": "position",
    "Status": "verification_status",
    "Suppressed": "suppressed",
    "Added": "created_at",
}

ListArgument = Annotated[str, typer.Argument(help="The list's name or id.", metavar="LIST")]
StatusOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Only leads of this verification status; none: those without. May be repeated.", metavar="STATUS"
    ),
]
SinceOption = Annotated[
    str | None,
    typer.Option(help="Only leads added or changed since: 2026-11-23, a time in UTC, or an age: 12h, 7d, 2w."),
]
NewOption = Annotated[bool, typer.Option("--new", help=f"Only leads added since --since (default: {_NEW_FOR}).")]


class ExportFormat(StrEnum):
    """What ``--format`` takes."""

    CSV = "csv"
    JSONL = "jsonl"


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    leads = typer.Typer(name="leads", no_args_is_help=True, rich_markup_mode=None)
    leads.callback(
        epilog=examples(
            "leadplan leads list",
            'leadplan leads show "Leeds dentists" --new',
            'leadplan leads export "Leeds dentists" -o leads.csv',
            "leadplan leads suppress ada@example.com example.org --reason customer",
        )
    )(_leads)
    leads.command("list", epilog=examples("leadplan leads list", "leadplan leads list --json | jq .leads"))(list_lists)
    leads.command(
        "show",
        epilog=examples(
            'leadplan leads show "Leeds dentists"',
            'leadplan leads show "Leeds dentists" --status valid --status accept_all --since 2026-11-01',
            'leadplan leads show "Leeds dentists" --new --json | jq -r .email',
        ),
    )(show)
    leads.command(
        "export",
        epilog=examples(
            'leadplan leads export "Leeds dentists" -o leads.csv --bom',
            'leadplan leads export "Leeds dentists" --format jsonl | jq -r .email',
        ),
    )(export)
    leads_suppression_commands.add_to(leads)
    app.add_typer(leads)


def _leads() -> None:
    """Read lead lists, and say who must not be contacted.

    LEAD_LIST_SAVE keeps the leads in the database that LEADPLAN_LEADS_DATABASE_URL names.
    """
    from importlib.util import find_spec

    if find_spec("sqlalchemy") is None:
        raise missing_extra(ModuleNotFoundError(name="sqlalchemy"), "tools")


def list_lists(account: AccountOption = None, database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """Show the lists, with how many leads they hold."""
    from leadplan_cli.leads_database import lead_database
    from leadplan_cli.leads_output import day, json_line
    from leadplan_cli.text_tables import print_table

    with lead_database(database, account) as opened, opened.reading() as connection:
        summaries = _summaries(opened, connection)
    if as_json:
        for summary in summaries:
            typer.echo(json_line(vars(summary)))
    elif not summaries:
        typer.echo(f"Account {opened.account} has no lists. A plan's step LEAD_LIST_SAVE makes them.")
    else:
        headings = ("List", "Leads", f"New in {_NEW_FOR}", "Updated (UTC)")
        rows = [(each.name, each.leads, each.new_leads, day(each.updated_at)) for each in summaries]
        print_table(headings, rows)


def show(
    name: ListArgument,
    status: StatusOption = None,
    since: SinceOption = None,
    new: NewOption = False,
    limit: Annotated[int, typer.Option(help="At most so many; 0: all.", min=0)] = 50,
    account: AccountOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the leads of a list, those added last first.

    A lead that must not be contacted says why in the column Suppressed.
    """
    from leadplan_cli.leads_database import lead_database, named_list
    from leadplan_cli.leads_output import write_json_lines
    from leadplan_leads.listing import count_leads, read_leads

    wanted = _filter(status, since, new)
    with lead_database(database, account) as opened, opened.reading() as connection:
        found = named_list(_summaries(opened, connection), name)
        leads = read_leads(connection, opened.account, found.id, wanted, limit=limit or None)
        if as_json:
            write_json_lines(sys.stdout, leads)
            return
        shown = list(leads)
        total = count_leads(connection, found.id, wanted)
    _print_leads(found, shown, total)


def export(
    name: ListArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file; default: standard output.")
    ] = None,
    file_format: Annotated[
        ExportFormat, typer.Option("--format", help="csv (for spreadsheets) or jsonl (a line of JSON a lead).")
    ] = ExportFormat.CSV,
    bom: Annotated[bool, typer.Option("--bom", help="CSV: begin with the mark by which Excel knows UTF-8.")] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="CSV: no apostrophe before texts that spreadsheets take for formulas.")
    ] = False,
    status: StatusOption = None,
    since: SinceOption = None,
    new: NewOption = False,
    account: AccountOption = None,
    database: DatabaseOption = None,
) -> None:
    """Write a list with all that is known of each lead.

    CSV is in UTF-8 as RFC 4180 says, with one header line. People fill in forms as they like, so a text that begins
    with =, + or the like gets an apostrophe before it: no spreadsheet program runs it. Telephone numbers stay as they
    are, and so does everything with --raw.
    """
    from leadplan_cli.leads_database import lead_database, named_list
    from leadplan_cli.leads_output import write_csv, write_json_lines
    from leadplan_leads.listing import LEAD_FIELDS, read_leads

    if file_format is ExportFormat.JSONL and (bom or raw):
        raise CommandError("--bom and --raw are for --format csv", exit_code=BAD_USE)
    wanted = _filter(status, since, new)
    with lead_database(database, account) as opened, opened.reading() as connection:
        found = named_list(_summaries(opened, connection), name)
        leads = read_leads(connection, opened.account, found.id, wanted)
        with _opened_for_writing(output, "utf-8-sig" if bom else "utf-8") as out:
            if file_format is ExportFormat.JSONL:
                count = write_json_lines(out, leads)
            else:
                count = write_csv(out, LEAD_FIELDS, leads, raw=raw)
    if output is not None:
        typer.echo(f"wrote {count} {'lead' if count == 1 else 'leads'} of {found.name!r} to {output}", err=True)


def _summaries(opened: "AccountInDatabase", connection: "Connection") -> "list[ListSummary]":
    from leadplan_leads.listing import list_summaries

    return list_summaries(connection, opened.account, new_since=moment(_NEW_FOR))


def _filter(statuses: list[str] | None, since: str | None, new: bool) -> "LeadFilter":
    from leadplan_leads.listing import LeadFilter

    lowered = [status.strip().lower() for status in statuses or []]
    if new:
        return LeadFilter(statuses=lowered, added_since=moment(since or _NEW_FOR))
    return LeadFilter(statuses=lowered, updated_since=None if since is None else moment(since))


def _print_leads(found: "ListSummary", leads: list[dict[str, object]], total: int) -> None:
    from leadplan_cli.leads_output import day
    from leadplan_cli.text_tables import print_table

    if not leads:
        typer.echo(f"{found.name}: no leads{'' if not found.leads else f' of these; the list holds {found.leads}'}")
        return
    for lead in leads:
        lead["company_name"] = lead["company_name"] or lead["company_domain"]
        lead["created_at"] = day(lead["created_at"])  # type: ignore[arg-type]  # a time, as listing says
    print_table(tuple(_SHOWN_COLUMNS), [[lead[column] for column in _SHOWN_COLUMNS.values()] for lead in leads])
    if len(leads) < total:
        typer.echo(f"{len(leads)} of {total} leads; --limit 0 shows all")


@contextlib.contextmanager
def _opened_for_writing(path: Path | None, encoding: str) -> Iterator[TextIO]:
    """A text stream in this encoding whose line ends stay as they are written."""
    import io

    if path is None:
        sys.stdout.flush()
        out = io.TextIOWrapper(sys.stdout.buffer, encoding=encoding, newline="")
        try:
            yield out
            out.flush()
        finally:
            out.detach()
        return
    try:
        with path.open("w", encoding=encoding, newline="") as file:
            yield file
    except OSError as error:
        raise CommandError(f"can't write {path}: {error.strerror}", exit_code=BAD_USE) from None
