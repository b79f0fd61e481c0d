"""Putting selected leads into a sequence, batch by batch."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from leadplan_email_sequence.api import BATCH, AddedRecipients, SequencesApi
from leadplan_email_sequence.errors import SequenceError
from leadplan_email_sequence.models import LeftOutLead, SequenceParams, SequenceResult
from leadplan_email_sequence.selection import Selection

_ALREADY_IN = "duplicate"
_SKIPPED_BECAUSE = {
    "invalid": "Hunter holds the address for invalid",
    "bounced": "mail to the address bounced before",
    "unsubscribed": "the person unsubscribed",
    "claimed": "the person asked Hunter not to process their data",
}
_NOBODY = "The sequence wasn't started, because none of these leads is in it."
_NOT_STARTED = "This step started nothing. A sequence that runs already mails the added leads all the same."

ReportProgress = Callable[[float, str], Awaitable[None]]


@dataclass
class _Tally:
    """What became of the batches so far."""

    added: int = 0
    already_in: int = 0
    skipped: list[LeftOutLead] = field(default_factory=list)

    def count(self, batch: AddedRecipients) -> None:
        self.added += batch.recipients_added
        for recipient in batch.skipped_recipients:
            if recipient.reason == _ALREADY_IN:
                self.already_in += 1
            else:
                reason = _SKIPPED_BECAUSE.get(recipient.reason, f"Hunter skipped it: {recipient.reason}")
                self.skipped.append(LeftOutLead(email=recipient.email, reason=reason))

    @property
    def in_sequence(self) -> int:
        return self.added + self.already_in


async def set_up_sequence(
    api: SequencesApi, params: SequenceParams, selection: Selection, report: ReportProgress
) -> SequenceResult:
    """Add the selected leads and, if wanted, start the sequence.

    Nothing is started for nobody: a search that finds no new leads is no failure, and Hunter refuses to start an empty
    sequence.

    Raises:
        SequenceError: a call failed; the message says how many leads are in by then. A repeat adds nobody twice.
    """
    tally = await _add_all(api, params.sequence_id, selection.emails, report)
    started = params.start and tally.in_sequence > 0
    if started:
        try:
            await api.start(params.sequence_id)
        except SequenceError as error:
            who = "1 lead is" if tally.in_sequence == 1 else f"{tally.in_sequence} leads are"
            raise error.after(f"{who} in the sequence, which isn't started.") from None
    return SequenceResult(
        sequence_id=params.sequence_id,
        recipients_added=tally.added,
        already_in=tally.already_in,
        left_out=[*selection.left_out, *tally.skipped],
        started=started,
        note=None if started else (_NOBODY if params.start else _NOT_STARTED),
    )


async def _add_all(api: SequencesApi, sequence_id: int, emails: list[str], report: ReportProgress) -> _Tally:
    tally = _Tally()
    for first in range(0, len(emails), BATCH):
        batch = emails[first : first + BATCH]
        try:
            tally.count(await api.add_recipients(sequence_id, batch))
        except SequenceError as error:
            if not tally.in_sequence:
                raise
            raise error.after(f"{tally.in_sequence} of {len(emails)} leads are in the sequence by now.") from None
        done = first + len(batch)
        await report(done / len(emails), f"{done} of {len(emails)} leads")
    return tally
