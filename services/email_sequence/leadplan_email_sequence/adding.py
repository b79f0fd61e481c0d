"""Putting claimed addresses into a sequence, batch by batch."""

from collections.abc import Awaitable, Callable, Sequence

from leadplan_email_sequence.api import BATCH, AddedRecipients, SequencesApi
from leadplan_email_sequence.errors import AddressRefusedError, CallRefusedError
from leadplan_email_sequence.selection import NOT_ADDED
from leadplan_email_sequence.step_ledger import BatchOutcome, StepLedger
from leadplan_leads.addresses import normalise_email
from leadplan_leads.outreach import Asked

_DUPLICATE = "duplicate"
_OBJECTED = "claimed"

ReportProgress = Callable[[float, str], Awaitable[None]]
Check = Callable[[], Awaitable[None]]


class RecipientAdding:
    """Adds addresses that are claimed, and notes in the ledger what becomes of each before it goes on.

    Args:
        api: Hunter.
        ledger: of the step.
        sequence_id: the sequence.
        report: told the share that is done, with a message.

    Attributes:
        added: how many Hunter took so far.
    """

    def __init__(self, api: SequencesApi, ledger: StepLedger, sequence_id: int, report: ReportProgress) -> None:
        self._api = api
        self._ledger = ledger
        self._sequence_id = sequence_id
        self._report = report
        self.added = 0

    async def add_all(self, emails: Sequence[str], *, before: int, check: Check) -> None:
        """Add addresses in batches.

        Args:
            emails: claimed by this step.
            before: how many it added at earlier attempts, for the progress.
            check: called before each batch but the first; what it raises ends the adding.

        Raises:
            SequenceError: a call failed. What was done before is in the ledger.
            ToolError: the ledger can't be written.
        """
        total = before + len(emails)
        for first in range(0, len(emails), BATCH):
            if first:
                await check()
            batch = emails[first : first + BATCH]
            await self._add(batch)
            done = before + first + len(batch)
            await self._report(done / total, f"{done} of {total} leads")

    async def _add(self, emails: Sequence[str]) -> None:
        asked = await self._ledger.ask(emails)
        if not asked.emails:
            return
        try:
            answer = await self._api.add_recipients(self._sequence_id, asked.emails)
        except AddressRefusedError as error:
            await self._ledger.withdraw(asked.first_time)
            await self._add_without_the_refused(asked.emails, error.reason)
        except CallRefusedError:
            await self._ledger.withdraw(asked.first_time)
            raise
        else:
            outcome = await self._outcome(asked, answer)
            await self._ledger.settle(outcome)
            self.added += len(outcome.added)

    async def _add_without_the_refused(self, emails: Sequence[str], reason: str) -> None:
        """Hunter refused all of them because of one: find it by halves, and leave it out.

        This repeats no failed call: each call asks for other addresses than the ones before it.
        """
        if len(emails) == 1:
            objected = list(emails) if reason == _OBJECTED else []
            refused = {} if objected else {emails[0]: reason}
            await self._ledger.settle(BatchOutcome(refused=refused, objected=objected))
            return
        middle = len(emails) // 2
        await self._add(emails[:middle])
        await self._add(emails[middle:])

    async def _outcome(self, asked: Asked, answer: AddedRecipients) -> BatchOutcome:
        skipped = {normalise_email(one.email): one.reason for one in answer.skipped_recipients}
        taken = [email for email in asked.emails if email not in skipped]
        outcome = BatchOutcome()
        for email in asked.emails:
            reason = skipped.get(email)
            if reason == _DUPLICATE:
                # Asked for before, and the answer was lost: it was this step that put it in.
                (outcome.found if email in asked.first_time else outcome.added).append(email)
            elif reason == _OBJECTED:
                outcome.objected.append(email)
            elif reason is not None:
                outcome.refused[email] = reason
        if len(taken) == answer.recipients_added:
            outcome.added += taken
            return outcome
        # The numbers contradict the names. Who is in the sequence decides.
        in_sequence = await self._api.recipients(self._sequence_id)
        outcome.added += [email for email in taken if email in in_sequence]
        outcome.refused.update({email: NOT_ADDED for email in taken if email not in in_sequence})
        return outcome
