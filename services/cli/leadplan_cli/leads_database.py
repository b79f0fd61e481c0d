"""The lead database as the commands of ``leadplan leads`` find it: URL, account and list, each checked."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import typer
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from leadplan_cli.errors import BAD_USE, CommandError
from leadplan_leads.database import DatabaseUnavailableError, open_existing_database
from leadplan_leads.failures import failure_of
from leadplan_leads.listing import ListSummary, accounts
from leadplan_leads.settings import DATABASE_URL_VARIABLE, LeadDatabaseSettings
from leadplan_leads.transactions import account_transaction, reading

_MOST_NAMES = 10


@dataclass(frozen=True)
class AccountInDatabase:
    """An open database and the account that a command is about."""

    engine: Engine
    account: str

    def reading(self) -> contextlib.AbstractContextManager[Connection]:
        """A transaction that only reads."""
        return reading(self.engine)

    def writing(self) -> contextlib.AbstractContextManager[Connection]:
        """A transaction that other writers of the account wait for."""
        return account_transaction(self.engine, self.account)


@contextlib.contextmanager
def lead_database(url: str | None, account: str | None, *, may_be_new: bool = False) -> Iterator[AccountInDatabase]:
    """Open the database for the length of a block; nothing is made and nothing migrated.

    Args:
        url: where it is; by default where the environment says.
        account: whose leads; may be left out where the database holds those of one account only.
        may_be_new: an account that the database doesn't know is taken as it is given.

    Raises:
        CommandError: it can't be opened, the account isn't clear, or the database fails inside the block.
    """
    engine = _opened(url)
    try:
        with reading(engine) as connection:
            known = accounts(connection)
        yield AccountInDatabase(engine, _chosen_account(account, known, may_be_new))
    except SQLAlchemyError as error:
        raise CommandError(failure_of(error).explanation) from None
    finally:
        engine.dispose()


def named_list(summaries: Sequence[ListSummary], name: str) -> ListSummary:
    """The list of this name or id; capitals don't matter where only one list fits.

    Raises:
        CommandError: there is none; the message names those that are nearest.
    """
    exact = [found for found in summaries if name.strip() in (found.name, found.id)]
    alike = exact or [found for found in summaries if found.name.casefold() == name.strip().casefold()]
    if len(alike) == 1:
        return alike[0]
    names = [found.name for found in alike] or nearest(name, [found.name for found in summaries])
    if names:
        hint = f"did you mean {' or '.join(map(repr, names))}?"
    else:
        hint = f"there are {_shortened([found.name for found in summaries])}" if summaries else "there are no lists yet"
    raise CommandError(f"there is no list {name!r}: {hint}", exit_code=BAD_USE)


def nearest(name: str, among: Sequence[str]) -> list[str]:
    """Names that somebody who wrote this one may have meant, whatever the capitals."""
    folded = {other.casefold(): other for other in among}
    wanted = name.strip().casefold()
    matches = get_close_matches(wanted, folded, n=3, cutoff=0.6)
    return [folded[match] for match in matches] or [folded[one] for one in folded if wanted and wanted in one][:3]


def _opened(url: str | None) -> Engine:
    source = "--database" if url is not None else DATABASE_URL_VARIABLE
    if url is None:
        default = str(LeadDatabaseSettings.model_fields["leads_database_url"].default.get_secret_value())
        url = os.environ.get(DATABASE_URL_VARIABLE) or default
    try:
        return open_existing_database(url)
    except DatabaseUnavailableError as error:
        raise CommandError(f"{source}: {error}", exit_code=BAD_USE) from None


def _chosen_account(account: str | None, known: list[str], may_be_new: bool) -> str:
    if account is None:
        if len(known) == 1:
            return known[0]
        if not known:
            raise CommandError(
                "the lead database holds nothing yet: name the account with --account", exit_code=BAD_USE
            )
        message = f"the lead database holds {len(known)} accounts, choose one with --account: {_shortened(known)}"
        raise CommandError(message, exit_code=BAD_USE)
    if account in known:
        return account
    alike = nearest(account, known)
    hint = f"did you mean {' or '.join(alike)}?" if alike else f"there are {_shortened(known) or 'none yet'}"
    if not may_be_new:
        raise CommandError(f"the lead database knows no account {account!r}: {hint}", exit_code=BAD_USE)
    typer.echo(f"leadplan: note: account {account!r} is new to the lead database; {hint}", err=True)
    return account


def _shortened(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
