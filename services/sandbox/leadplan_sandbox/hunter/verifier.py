"""``/email-verifier``: whether mail to an address arrives."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse, Response

from leadplan_sandbox.hunter.access import VERIFICATION_COST, HunterAccount
from leadplan_sandbox.hunter.errors import HunterApiError, hunter_error
from leadplan_sandbox.hunter.params import email_param
from leadplan_sandbox.hunter.search import sources
from leadplan_sandbox.world.chance import number
from leadplan_sandbox.world.people import Mailbox, person_with_email

_CHARGED = ("valid", "invalid", "accept_all")
_RESULTS = {"valid": "deliverable", "invalid": "undeliverable"}
_FIXED_SCORE = 50
_SCORES = {"valid": (88, 100), "accept_all": (55, 87), "unknown": (30, 60), "invalid": (0, 12)}


class Verifier:
    """Verifications of one account. It remembers which ones are under way: those answer 202 first."""

    def __init__(self) -> None:
        self._calls: Counter[str] = Counter()

    def reset(self) -> None:
        """Forget which verifications are under way."""
        self._calls.clear()

    def verify(self, query: Mapping[str, str], account: HunterAccount | None) -> Response:
        """The answer: 200 with a result, 202 while it is under way, 222 when the mail server answered wrongly.

        Raises:
            HunterApiError: 400 for no address, 402 without credits, 451 for somebody who is claimed.
        """
        mailbox = Mailbox(email_param(query))
        if account is None:
            return JSONResponse(_answer(Mailbox("valid@sandbox.example"), query))
        if mailbox.claimed:
            raise HunterApiError(451)
        account.require_credits()
        if mailbox.server_answers_wrongly:
            return hunter_error(222, "smtp_error", "The remote mail server answered in an unexpected way.")
        self._calls[mailbox.email] += 1
        if self._calls[mailbox.email] <= mailbox.slow_checks:
            return JSONResponse({"data": {"status": "pending", "email": mailbox.email}, "meta": _meta(query)}, 202)
        if mailbox.status in _CHARGED:
            account.charge(VERIFICATION_COST)
        return JSONResponse(_answer(mailbox, query))


def _answer(mailbox: Mailbox, query: Mapping[str, str]) -> dict[str, Any]:
    status, person = mailbox.status, person_with_email(mailbox.email)
    known_host = status not in ("invalid", "unknown")
    data = {
        "status": status,
        "result": _RESULTS.get(status, "risky"),
        "_deprecation_notice": "Using result is deprecated, use status instead",
        "score": number(*_SCORES[status], "score", mailbox.email) if status in _SCORES else _FIXED_SCORE,
        "email": mailbox.email,
        "regexp": True,
        "gibberish": False,
        "disposable": status == "disposable",
        "webmail": status == "webmail",
        "mx_records": known_host or mailbox.reserved,
        "smtp_server": known_host,
        "smtp_check": status in ("valid", "accept_all"),
        "accept_all": status == "accept_all",
        "block": False,
        "sources": sources(person) if person else [],
    }
    return {"data": data, "meta": _meta(query)}


def _meta(query: Mapping[str, str]) -> dict[str, Any]:
    return {"params": {"email": query.get("email")}}
