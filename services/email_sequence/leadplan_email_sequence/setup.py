"""One step's work: look at the sequence, choose and claim, add, start."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from leadplan_email_sequence.adding import RecipientAdding, ReportProgress
from leadplan_email_sequence.api import SequencesApi
from leadplan_email_sequence.errors import SequenceError
from leadplan_email_sequence.models import SavedLead, SequenceParams, SequenceResult
from leadplan_email_sequence.notes import note_for
from leadplan_email_sequence.selection import OnRecord, Selection, select_recipients, usable_address
from leadplan_email_sequence.sequence_state import Phase, SequenceState
from leadplan_email_sequence.step_ledger import Finding, StepLedger
from leadplan_leads.outreach import OutreachState
from leadplan_responder import ToolError

_RAN = (Phase.RUNS, Phase.COMPLETED)


class SequenceSetup:
    """The work of one step. Doing it again adds nobody twice and starts nothing twice, wherever it broke off before.

    Args:
        api: Hunter.
        ledger: the lead database for this step.
        params: of the step.
        leads: of its source step.
        key: its idempotency key.
        report: told the share that is done, with a message.
    """

    def __init__(
        self,
        api: SequencesApi,
        ledger: StepLedger,
        params: SequenceParams,
        leads: Sequence[SavedLead],
        key: str,
        report: ReportProgress,
    ) -> None:
        self._api = api
        self._ledger = ledger
        self._params = params
        self._leads = leads
        self._key = key
        self._report = report
        self._emails = list(dict.fromkeys(email for lead in leads if (email := usable_address(lead.email))))

    async def run(self) -> SequenceResult:
        """Add whoever is to be added and isn't yet, and start the sequence if that is wanted.

        When the step fails for good or is cancelled, what it claimed and never asked Hunter for is given up, so that
        another plan can have those people. A further attempt claims them anew.

        Raises:
            SequenceError: a call failed, or the sequence can't be used as asked; it says how many are in by then.
            ToolError: the database can't be used. Nobody is added without a look at it.
        """
        try:
            return await self._run()
        except SequenceError as error:
            if not error.retryable:
                await self._ledger.release()
            raise
        except asyncio.CancelledError:
            with suppress(ToolError):  # then they become free when the claim is taken for abandoned
                await self._ledger.release()
            raise

    async def resolve(self) -> SequenceResult | None:
        """After a break-off: settle what Hunter has of it; the result if nothing is left to do, else None.

        Raises:
            SequenceError, ToolError: it can't be found out now.
        """
        if not await self._ledger.entries():
            return None
        state = await self._api.sequence(self._params.sequence_id)
        selection = await self._ledger.look(self._emails, await self._look_up(), self._choose)
        # It was started where it runs, was paused since, or has run to its end by now.
        if selection.to_add or (self._params.start and state.phase not in (*_RAN, Phase.PAUSED)):
            return None
        return self._result(selection, state, started=self._params.start and state.phase in _RAN)

    async def _run(self) -> SequenceResult:
        state = await self._api.sequence(self._params.sequence_id)
        state.check_usable(self._params.sequence_id)
        findings = await self._look_up()

        def choose(on_record: OnRecord) -> Selection:
            selection = self._choose(on_record)
            self._check(selection, state)
            return selection

        # Another step can take over what this one has claimed and not asked for: then the second look shows it.
        while (selection := await self._ledger.claim(self._emails, findings, choose)).to_add:
            findings = []
            await self._add(selection)
        return self._result(selection, state, started=await self._started(selection, state))

    async def _look_up(self) -> list[Finding]:
        """What Hunter says of open entries. It is asked only where it may have been asked to add somebody."""
        entries = await self._ledger.open_entries(self._emails, any_sequence=not self._params.allow_recontact)
        findings = []
        for sequence_id in sorted({entry.sequence_id for entry in entries}):
            here = [entry for entry in entries if entry.sequence_id == sequence_id]
            if any(entry.state is OutreachState.ASKED for entry in here):
                try:
                    in_sequence = await self._api.recipients(sequence_id)
                except SequenceError as error:
                    if sequence_id == self._params.sequence_id or error.retryable:
                        raise
                    continue  # Another sequence that can't be seen any more: who was meant for it stays left out.
            else:
                in_sequence = set()
            findings.append(Finding(here, in_sequence))
        return findings

    def _choose(self, on_record: OnRecord) -> Selection:
        return select_recipients(self._leads, self._params, on_record, self._key)

    def _check(self, selection: Selection, state: SequenceState) -> None:
        """Stop before anybody is added who mustn't be.

        Raises:
            SequenceError: not retryable.
        """
        if not selection.to_add:
            return
        number, most = len(selection.to_add) + len(selection.added), self._params.max_recipients
        if number > most:
            message = (
                f"{number} leads are to be added, and maxRecipients allows {most}. Raise maxRecipients if that is what "
                "you want, or choose fewer leads."
            )
            raise _with_progress(SequenceError(message, code="too_many_recipients", retryable=False), selection)
        if refusal := self._refusal_to_mail(state):
            raise _with_progress(refusal, selection)

    def _refusal_to_mail(self, state: SequenceState) -> SequenceError | None:
        """Why nobody may be added: they could be mailed, and the step wasn't told to."""
        if self._params.start or not state.mails_at_once:
            return None
        message = (
            f"Sequence {self._params.sequence_id} is {state.status}: Hunter would mail everybody at once who is "
            "added. Set start to true if that is what you want, or use a sequence that isn't started."
        )
        return SequenceError(message, code="sequence_running", retryable=False)

    async def _check_still_quiet(self) -> None:
        """Look again before another batch: somebody, or another plan, may have started the sequence meanwhile.

        Raises:
            SequenceError: it was started, and this step wasn't told to mail anybody; or Hunter doesn't answer.
        """
        if self._params.start:
            return
        if refusal := self._refusal_to_mail(await self._api.sequence(self._params.sequence_id)):
            raise refusal

    async def _add(self, selection: Selection) -> None:
        adding = RecipientAdding(self._api, self._ledger, self._params.sequence_id, self._report)
        try:
            await adding.add_all(selection.to_add, before=len(selection.added), check=self._check_still_quiet)
        except SequenceError as error:
            raise _with_progress(error, selection, adding.added) from None

    async def _started(self, selection: Selection, state: SequenceState) -> bool:
        """Start the sequence if that is wanted and somebody is in it; whether Hunter says that it runs."""
        if not self._params.start or state.phase is Phase.PAUSED:
            return False
        if state.phase is Phase.RUNS:
            return True
        if not (selection.added or selection.already_in or state.recipients_count):
            return False
        try:
            await self._api.start(self._params.sequence_id)
        except SequenceError as error:
            here = len(selection.added) + selection.already_in
            raise error.after(f"{_leads_are(here)} in the sequence, which isn't started.") from None
        return True

    def _result(self, selection: Selection, state: SequenceState, *, started: bool) -> SequenceResult:
        return SequenceResult(
            sequence_id=self._params.sequence_id,
            sequence_name=state.name,
            recipients_added=len(selection.added),
            already_in=selection.already_in,
            left_out=selection.left_out,
            objected_left_out=selection.objected,
            started=started,
            note=note_for(state, started=started, wanted=self._params.start),
        )


def _with_progress(error: SequenceError, selection: Selection, added_since: int = 0) -> SequenceError:
    number = len(selection.added) + added_since
    return error.after(f"{_leads_are(number)} in the sequence by now.") if number else error


def _leads_are(number: int) -> str:
    return "1 lead of this step is" if number == 1 else f"{number} leads of this step are"
