"""Which saved leads go into the sequence."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from leadplan_email_sequence.models import LeftOutLead, SavedLead, SequenceParams

# Hunter refuses a whole batch for one malformed address, so such addresses must not reach it.
_EMAIL = re.compile(r"[^@\s,;<>()]+@[^@\s.]+(\.[^@\s.]+)+")


@dataclass(frozen=True)
class Selection:
    """Leads in the order of the source step: the addresses to add, and who is left out and why."""

    emails: list[str]
    left_out: list[LeftOutLead]


def select_recipients(leads: Iterable[SavedLead], params: SequenceParams) -> Selection:
    """Choose: new ones (if only those are wanted), with a usable verification, each address once.

    Addresses are compared, and handed on, in lower case.
    """
    chosen: dict[str, None] = {}
    left_out = []
    for lead in leads:
        email = lead.email.strip().lower()
        reason = _reason_against(lead, email, params) or ("it stands twice in the list" if email in chosen else None)
        if reason is None:
            chosen[email] = None
        else:
            left_out.append(LeftOutLead(email=lead.email, reason=reason))
    return Selection(list(chosen), left_out)


def _reason_against(lead: SavedLead, email: str, params: SequenceParams) -> str | None:
    if not _EMAIL.fullmatch(email):
        return "it is no e-mail address"
    if params.only_new and not lead.is_new:
        return "the lead isn't new"
    if lead.verification_status is None:
        return "the address isn't verified"
    if lead.verification_status not in params.verification_statuses:
        return f"its verification status is {lead.verification_status}"
    return None
