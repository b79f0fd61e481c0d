"""What a check found."""

from enum import StrEnum
from typing import NamedTuple


class Outcome(StrEnum):
    """How it stands. Only a ``PROBLEM`` makes the exit code 1."""

    OK = "ok"
    NOTICE = "notice"
    UNKNOWN = "unknown"
    PROBLEM = "problem"


class Check(NamedTuple):
    """One line: what was looked at, how it stands, and what to do about it; ``remedy`` is empty where all is well."""

    name: str
    outcome: Outcome
    what: str
    remedy: str = ""


def ok(name: str, what: str) -> Check:
    """All is well."""
    return Check(name, Outcome.OK, what)


def notice(name: str, what: str, remedy: str) -> Check:
    """Worth knowing, maybe meant so."""
    return Check(name, Outcome.NOTICE, what, remedy)


def problem(name: str, what: str, remedy: str) -> Check:
    """Something that plans need isn't so."""
    return Check(name, Outcome.PROBLEM, what, remedy)
