"""``leadplan leads suppress``, ``unsuppress``, ``suppressed`` and ``forget``: who must not be contacted."""

# ruff: noqa: PLC0415 - each command imports what it needs when it runs

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from leadplan_cli.errors import BAD_USE, CommandError
from leadplan_cli.examples import examples
from leadplan_cli.leads_options import AccountOption, DatabaseOption, JsonOption

_MOST_SHOWN = 10

SubjectsArgument = Annotated[
    list[str] | None, typer.Argument(help="Addresses, or domains with all addresses below them.", metavar="SUBJECT")
]
FileOption = Annotated[
    Path | None,
    typer.Option(
        "--file", help="A file with one a line; empty lines and those that begin with # don't count. -: stdin."
    ),
]


def add_to(leads: typer.Typer) -> None:
    """Add this module's commands."""
    leads.command(
        "suppress",
        epilog=examples(
            "leadplan leads suppress ada@example.com --reason unsubscribed",
            'leadplan leads suppress example.org --reason customer --note "since May"',
            "leadplan leads suppress --file bounces.txt --reason bounced",
        ),
    )(suppress)
    leads.command("unsuppress", epilog=examples("leadplan leads unsuppress ada@example.com example.org"))(unsuppress)
    leads.command(
        "suppressed",
        epilog=examples(
            "leadplan leads suppressed --reason bounced",
            "leadplan leads suppressed --json | jq -r .address",
        ),
    )(suppressed)
    leads.command("forget", epilog=examples("leadplan leads forget ada@example.com"))(forget)


def suppress(
    subjects: SubjectsArgument = None,
    reason: Annotated[
        str, typer.Option(help="unsubscribed, bounced, asked, customer, or a word of your own.")
    ] = "asked",
    note: Annotated[str | None, typer.Option(help="For people.")] = None,
    file: FileOption = None,
    account: AccountOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put addresses or whole domains on the suppression list.

    EMAIL_SEQUENCE_SETUP leaves them out from then on. Who is in a sequence of Hunter's already stays there: take them
    out there. Those on the list already get the new reason and note. To erase a person as well: leadplan leads forget.
    """
    from leadplan_cli.leads_database import lead_database
    from leadplan_cli.leads_output import json_line
    from leadplan_leads import suppressions

    if reason == suppressions.OBJECTED:
        message = "who objected must be erased as well: leadplan leads forget ADDRESS does both"
        raise CommandError(message, exit_code=BAD_USE)
    if not suppressions.is_reason(reason):
        message = f"--reason {reason!r} is no word in small letters, such as customer or moved_away"
        raise CommandError(message, exit_code=BAD_USE)
    wanted = _subjects(subjects, file)
    with lead_database(database, account, may_be_new=True) as opened, opened.writing() as connection:
        added = suppressions.suppress(connection, opened.account, wanted, reason=reason, note=note)
    if as_json:
        typer.echo(json_line({"added": len(added), "known": len(wanted) - len(added), "reason": reason}))
        return
    known = f", {len(wanted) - len(added)} on the list before" if len(added) < len(wanted) else ""
    typer.echo(f"{len(added)} put on the suppression list as {reason}{known}")


def unsuppress(
    subjects: SubjectsArgument = None,
    objection_withdrawn: Annotated[
        bool,
        typer.Option("--objection-withdrawn", help="Take off also people who objected: they have agreed since."),
    ] = False,
    file: FileOption = None,
    account: AccountOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take addresses or domains off the suppression list.

    An address is taken off by itself, not with its domain. People who objected stay on the list unless you say that
    they have agreed since. Exit code 1 if anything stays on the list or wasn't on it.
    """
    from leadplan_cli.leads_database import lead_database
    from leadplan_cli.leads_output import json_line
    from leadplan_leads import suppressions

    wanted = _subjects(subjects, file)
    with lead_database(database, account) as opened, opened.writing() as connection:
        outcome = suppressions.unsuppress(connection, opened.account, wanted, objection_withdrawn=objection_withdrawn)
    if as_json:
        typer.echo(json_line(vars(outcome)))
    else:
        typer.echo(f"{len(outcome.removed)} taken off the suppression list")
        if outcome.unknown:
            typer.echo(f"not on the list: {_some(outcome.unknown)}")
        if outcome.objected:
            typer.echo(f"still on the list, because the person objected: {_some(outcome.objected)}")
    if outcome.unknown or outcome.objected:
        raise typer.Exit(1)


def suppressed(
    reason: Annotated[str | None, typer.Option(help="Only entries of this reason.")] = None,
    account: AccountOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the suppression list, newest entries first.

    Of those who objected there is only the digest of the address (SHA-256), by which they are recognised.
    """
    from leadplan_cli.leads_database import lead_database
    from leadplan_cli.leads_output import day, json_line
    from leadplan_cli.text_tables import print_table
    from leadplan_leads.suppressions import list_suppressions

    with lead_database(database, account) as opened, opened.reading() as connection:
        entries = list_suppressions(connection, opened.account, reason=reason)
        if as_json:
            for entry in entries:
                typer.echo(json_line(vars(entry)))
            return
        rows = [
            (each.address or f"digest {each.digest[:16]}…", each.reason, day(each.created_at), each.note)
            for each in entries
        ]
    if rows:
        print_table(("Address or domain", "Reason", "Since (UTC)", "Note"), rows)
    else:
        typer.echo("There is nobody on the suppression list" + (f" as {reason}." if reason else "."))


def forget(
    addresses: Annotated[list[str], typer.Argument(help="The person's addresses.", metavar="ADDRESS")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask first.")] = False,
    account: AccountOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Erase a person who objected to the processing of their data.

    All leads with the address go, from every list of the account, and the record of their outreach. What stays is a
    digest of the address, so that no later search brings them back. This can't be undone. It doesn't reach what
    Hunter keeps, nor files that you exported.
    """
    from leadplan_cli.leads_database import lead_database
    from leadplan_cli.leads_output import json_line
    from leadplan_leads.addresses import address_digest, normalise_email
    from leadplan_leads.objections import record_objections

    emails = [normalise_email(address) for address in addresses]
    if None in emails:
        raise CommandError(f"{addresses[emails.index(None)]!r} is no e-mail address", exit_code=BAD_USE)
    with lead_database(database, account, may_be_new=True) as opened:
        _ask(len(addresses), opened.account, yes)
        with opened.writing() as connection:
            digests = [address_digest(email) for email in emails if email is not None]
            erased = record_objections(connection, opened.account, digests)
    sequences = sorted(erased.sequence_ids)
    if as_json:
        typer.echo(json_line({"erased_leads": erased.leads, "sequence_ids": sequences}))
        return
    typer.echo(f"erased {erased.leads} {'lead' if erased.leads == 1 else 'leads'}; the objection is on record")
    if sequences:
        numbers = ", ".join(map(str, sequences))
        typer.echo(f"next: take them out of Hunter's sequence {numbers}, where they may still be")


def _ask(count: int, account: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError("nobody is there to ask: give --yes to erase without a question", exit_code=BAD_USE)
    what = "this person" if count == 1 else f"{count} addresses"
    typer.confirm(f"Erase all data of {what} in account {account}?", abort=True, err=True)


def _subjects(given: list[str] | None, file: Path | None) -> list[str]:
    """What to suppress, normalised, each once.

    Raises:
        CommandError: nothing was given, the file can't be read, or something is neither address nor domain.
    """
    from leadplan_leads.suppressions import normalise_subject

    named = [(repr(text), text) for text in given or []]
    if file is not None:
        named += [(f"line {number} of {file}", text) for number, text in _lines(file)]
    if not named:
        raise CommandError("name an address or a domain, or give --file", exit_code=BAD_USE)
    normalised = {label: normalise_subject(text) for label, text in named}
    wrong = [label for label, subject in normalised.items() if subject is None]
    if wrong:
        message = f"neither an address nor a domain: {_some(wrong)}; nothing was changed"
        raise CommandError(message, exit_code=BAD_USE)
    return list(dict.fromkeys(subject for subject in normalised.values() if subject is not None))


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    try:
        text = (sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()).decode("utf-8-sig")
    except OSError as error:
        raise CommandError(f"can't read {file}: {error.strerror}", exit_code=BAD_USE) from None
    except UnicodeDecodeError:
        raise CommandError(f"{file} is no text in UTF-8", exit_code=BAD_USE) from None
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.strip()


def _some(texts: list[str]) -> str:
    more = f" and {len(texts) - _MOST_SHOWN} more" if len(texts) > _MOST_SHOWN else ""
    return ", ".join(texts[:_MOST_SHOWN]) + more
