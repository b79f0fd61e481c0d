"""Which saved leads go into the sequence, and why the others don't: a pure decision on what is on record."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from leadplan_email_sequence.models import LeftOutLead, LeftOutReason, SavedLead, SequenceParams
from leadplan_leads.addresses import normalise_email
from leadplan_leads.outreach import FOUND, OutreachEntry, OutreachState
from leadplan_leads.suppressions import OBJECTED

# Stricter than RFC 5321 (no quoted names, no address literals): Hunter refuses a whole batch for one malformed address,
# so what is doubtful must not reach it.
_NAME = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_ADDRESS = re.compile(
    rf"(?=.{{1,254}}$)(?=[^@]{{1,64}}@){_NAME}@(?:{_LABEL}\.)+(?:[a-z]{{2,63}}|xn--[a-z0-9-]{{1,59}})"
)

_REFUSALS: Mapping[str, tuple[LeftOutReason, str]] = {
    "invalid": ("invalid", "Hunter holds the address for invalid"),
    "bounced": ("bounced", "mail to the address bounced before"),
    "unsubscribed": ("unsubscribed", "the person unsubscribed"),
}
NOT_ADDED = "not_added"
"""Reason in the ledger for an address that Hunter neither took nor skipped."""

_UNUSABLE_ADDRESS = "it is no e-mail address that Hunter takes"


@dataclass(frozen=True)
class OnRecord:
    """What the lead database says of addresses.

    Attributes:
        suppressed: the reason on the suppression list, by address.
        outreach: entries of all sequences, by address.
    """

    suppressed: Mapping[str, str]
    outreach: Mapping[str, Sequence[OutreachEntry]]


@dataclass
class Selection:
    """The leads of the source step, in its order. Each is in one of these.

    Attributes:
        to_add: addresses that are to be put into the sequence.
        added: addresses that this step has put into it.
        left_out: the others, and why.
        objected: how many people objected to the use of their data.
    """

    to_add: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    left_out: list[LeftOutLead] = field(default_factory=list)
    objected: int = 0

    @property
    def already_in(self) -> int:
        """How many of those left out are in the sequence."""
        return sum(lead.reason == "already_in_sequence" for lead in self.left_out)

    def leave_out(self, lead: SavedLead, reason: LeftOutReason, explanation: str) -> None:
        """Note a lead as left out."""
        self.left_out.append(LeftOutLead(email=lead.email, reason=reason, explanation=explanation))


def usable_address(text: str) -> str | None:
    """The normalised address, None where the text isn't one that Hunter takes."""
    email = normalise_email(text)
    return email if email is not None and _ADDRESS.fullmatch(email) else None


def select_recipients(leads: Iterable[SavedLead], params: SequenceParams, on_record: OnRecord, key: str) -> Selection:
    """Choose who is to be added.

    What this step has done already stands: it is no reason to leave somebody out, and a later change of mind about
    them isn't told as if it had been made before. Of an address that stands twice the first lead counts.

    Args:
        leads: of the source step.
        params: of this step.
        on_record: what the lead database says of their addresses.
        key: this step's idempotency key.
    """
    selection = Selection()
    seen: set[str] = set()
    for lead in leads:
        email = usable_address(lead.email)
        if email is None:
            selection.leave_out(lead, "no_address", _UNUSABLE_ADDRESS)
        elif on_record.suppressed.get(email) == OBJECTED:
            selection.objected += 1
        elif email in seen:
            selection.leave_out(lead, "listed_twice", "the address stands in the list before")
        else:
            seen.add(email)
            _place(lead, email, params, on_record, key, selection)
    return selection


def _place(
    lead: SavedLead, email: str, params: SequenceParams, on_record: OnRecord, key: str, selection: Selection
) -> None:
    entries = on_record.outreach.get(email, ())
    mine = next((one for one in entries if one.sequence_id == params.sequence_id and one.claimed_by == key), None)
    if mine is not None and mine.state is OutreachState.ADDED and mine.reason != FOUND:
        selection.added.append(email)
        return
    reason = (
        _settled_before(mine)
        or _forbidden(lead, email, params, on_record)
        or _held(params, [one for one in entries if one is not mine])
    )
    if reason is None:
        selection.to_add.append(email)
    else:
        selection.leave_out(lead, *reason)


def _settled_before(mine: OutreachEntry | None) -> tuple[LeftOutReason, str] | None:
    """What an earlier attempt of this step learned from Hunter."""
    if mine is None or mine.is_open:
        return None
    if mine.state is OutreachState.ADDED:
        return "already_in_sequence", "it was in the sequence before"
    said = mine.reason or NOT_ADDED
    if said == NOT_ADDED:
        return "not_added", "Hunter neither added it nor said why"
    return _REFUSALS.get(said, ("not_added", f"Hunter skipped it: {said}"))


def _forbidden(
    lead: SavedLead, email: str, params: SequenceParams, on_record: OnRecord
) -> tuple[LeftOutReason, str] | None:
    """What speaks against mailing the lead, whoever does it."""
    if email in on_record.suppressed:
        return "suppressed", f"it is on the suppression list ({on_record.suppressed[email]})"
    if params.only_new and not lead.is_new:
        return "not_new", "it was in the list before"
    if lead.verification_status is None:
        return "unverified", "the address isn't verified"
    if lead.verification_status not in params.verification_statuses:
        return "bad_verification_status", f"its verification status is {lead.verification_status}"
    return None


def _held(params: SequenceParams, entries: Sequence[OutreachEntry]) -> tuple[LeftOutReason, str] | None:
    """What other steps did, or are about to do, with the address."""
    for entry in entries:
        if entry.state is OutreachState.REFUSED:
            continue
        here = entry.sequence_id == params.sequence_id
        if here and not entry.is_open:
            return "already_in_sequence", "it was put into the sequence before"
        if here or not params.allow_recontact:
            when = "is being put" if entry.is_open else f"was put on {entry.claimed_at:%Y-%m-%d}"
            return "contacted_before", f"it {when} into sequence {entry.sequence_id}"
    return None
