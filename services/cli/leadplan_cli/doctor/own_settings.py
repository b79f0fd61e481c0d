"""This machine's own settings: which server is meant, and variables whose names nothing reads."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Final

from leadplan_cli.connection_choice import VARIABLES, ConnectionChoice
from leadplan_cli.doctor.check import Check, notice, ok

_PREFIX: Final = "LEADPLAN_"
_OF_TOOLS: Final = ("LEADPLAN_GRACE_MS", "LEADPLAN_REPLICAS", "LEADPLAN_LOG_LEVEL")
_OTHERS_OF_NATS: Final = ("NATS_TIMEOUT", "NATS_COLOR", "NATS_SOCKS_PROXY")
"""What the ``nats`` command reads beside the variables that we read as well."""


def connection_checks(choice: ConnectionChoice) -> Iterator[Check]:
    """Which server is asked, and as whom."""
    credentials = f"credentials: {choice.credentials}" if choice.credentials else "no credentials"
    yield ok("connection", f"{choice.shown_url} (from: {choice.address_from}), {credentials}")


def variable_checks(environ: Mapping[str, str]) -> Iterator[Check]:
    """Variables that are set and that nothing reads, with the name that may be meant."""
    known = known_variables()
    for name in sorted(environ):
        if name.startswith(_PREFIX) and name not in known:
            yield _unknown(name, [*known], "Nothing of this version reads it: remove it.")
        elif _looks_like_one_of_nats(name):
            yield _unknown(name, [*VARIABLES.values()], "")


def _looks_like_one_of_nats(name: str) -> bool:
    """Others may have variables of their own that begin so: only what is nearly one of ours counts."""
    if not name.startswith("NATS_") or name in (*VARIABLES.values(), *_OTHERS_OF_NATS):
        return False
    return bool(difflib.get_close_matches(name, VARIABLES.values(), n=1, cutoff=0.8))


def _unknown(name: str, known: list[str], otherwise: str) -> Check:
    alike = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    remedy = f"Is {alike[0]} meant?" if alike else otherwise
    return notice("variables", f"{name} is set, and no setting has this name", remedy)


def known_variables() -> frozenset[str]:
    """Every variable with our prefix that something of ours reads, as far as its packages are installed."""
    names = set(_OF_TOOLS)
    try:
        from leadplan_executor.settings import ExecutorSettings  # noqa: PLC0415 - an extra may be missing

        names.update(f"{_PREFIX}{field}".upper() for field in ExecutorSettings.model_fields)
        from leadplan_leads.settings import LeadDatabaseSettings  # noqa: PLC0415 - likewise

        names.update(f"{_PREFIX}{field}".upper() for field in LeadDatabaseSettings.model_fields)
    except ModuleNotFoundError:
        names.add("LEADPLAN_LEADS_DATABASE_URL")
    return frozenset(names)
