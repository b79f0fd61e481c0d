"""Asking Hunter, for one step: each question once, over all attempts."""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from leadplan_hunter.api_answers import Company, EmailFoundByName, EmailVerification, NoVerification, Person
from leadplan_hunter.api_errors import VALUES_REFUSED
from leadplan_hunter.enrich_models import LookupKind
from leadplan_hunter.errors import CallFailedError, NothingKnownError
from leadplan_responder.checkpoint import Checkpoint

_CHARGED_VERIFICATIONS = frozenset({"valid", "invalid", "accept_all"})


class Answers(BaseModel):
    """What Hunter answered about one subject, as it is kept for later attempts.

    Attributes:
        answered: which questions have an answer; "nothing known" is one.
        credits: what they cost, at most.
        objected: the person objected. Nothing else is kept of them then, but what it cost and `digests`.
        digests: of the addresses of somebody who objected, where their name was looked for.
        verified_on: the day of the verification.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    answered: tuple[LookupKind, ...] = ()
    credits: int = 0
    objected: bool = False
    digests: tuple[str, ...] = ()
    found: EmailFoundByName | None = None
    verification: EmailVerification | None = None
    verified_on: date | None = None
    person: Person | None = None
    company: Company | None = None

    def with_answer(self, kind: LookupKind, answer: BaseModel | None) -> "Answers":
        """These and one more; None is "nothing known", which costs nothing."""
        changes: dict[str, Any] = {"answered": (*self.answered, kind), "credits": self.credits + _credits_of(answer)}
        if answer is not None:
            changes[_FIELD_OF[kind]] = answer
        if kind == "email-verifier":
            changes["verified_on"] = datetime.now(UTC).date()
        return self.model_copy(update=changes)


_FIELD_OF: Mapping[LookupKind, str] = {
    "email-finder": "found",
    "email-verifier": "verification",
    "people-find": "person",
    "companies-find": "company",
}


def _credits_of(answer: BaseModel | None) -> int:
    match answer:
        case None:
            return 0
        case EmailFoundByName():
            return int(answer.email is not None)
        case EmailVerification():
            return int(answer.status in _CHARGED_VERIFICATIONS)
        case _:
            return 1


@dataclass
class Subject:
    """What questions are about: a person who is looked for, an address, or a company.

    Attributes:
        item: its name in the checkpoint, which gives nobody away.
        answers: what is known so far.
        missing: the questions that got no answer in this attempt, each with the reason.
        refused: why Hunter takes no question about it at all.
    """

    item: str
    answers: Answers
    missing: dict[LookupKind, str] = field(default_factory=dict)
    refused: str | None = None

    def lacks(self, kind: LookupKind) -> bool:
        """Whether a question has no answer yet."""
        return kind not in self.answers.answered


class Inquiry:
    """The questions of one step.

    Args:
        checkpoint: of the step; `restore` reads it.

    Attributes:
        failures: of the calls of this attempt.
        has_answers: whether any question was answered, in this attempt or an earlier one.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.failures: list[CallFailedError] = []
        self.has_answers = False
        self._checkpoint = checkpoint
        self._kept: dict[str, Answers] = {}
        self._subjects: dict[str, Subject] = {}

    async def restore(self) -> None:
        """Read what earlier attempts were answered."""
        self._kept = await self._checkpoint.load(Answers)
        self.has_answers = bool(self._kept)

    @property
    def credits_used(self) -> int:
        """Credits of all attempts, at most."""
        known = self._kept | {item: subject.answers for item, subject in self._subjects.items()}
        return sum(answers.credits for answers in known.values())

    def subject(self, kind: str, name: str) -> Subject:
        """The subject of this kind and name; the same one each time. Only a hash of the name is kept."""
        item = f"{kind}:{hashlib.sha256(name.encode()).hexdigest()}"
        if item not in self._subjects:
            self._subjects[item] = Subject(item, self._kept.get(item, Answers()))
        return self._subjects[item]

    async def ask(
        self, subject: Subject, kind: LookupKind, call: Callable[[], Awaitable[BaseModel | NoVerification]]
    ) -> None:
        """Ask one question, unless it has been answered. The answer is kept; why there is none stands in the subject.

        Raises:
            PersonObjectedError: the person asked that their data isn't processed: `forget` them.
            StepStoppedError: every further call would fail too.
        """
        if subject.refused is not None or not subject.lacks(kind):
            return
        try:
            answer = await call()
        except NothingKnownError:
            await self._take(subject, kind, None)
        except CallFailedError as error:
            if error.code in VALUES_REFUSED:
                self.has_answers = True
                subject.refused = error.message
                return
            self.failures.append(error)
            subject.missing[kind] = error.message
        else:
            await self._take(subject, kind, answer)

    async def _take(self, subject: Subject, kind: LookupKind, answer: BaseModel | NoVerification | None) -> None:
        self.has_answers = True
        if isinstance(answer, NoVerification):
            subject.missing[kind] = answer.reason
            return
        subject.answers = subject.answers.with_answer(kind, answer)
        await self._checkpoint.keep(subject.item, subject.answers)

    async def forget(self, subject: Subject, digests: Iterable[str] = ()) -> None:
        """Drop what is known of a person who objected, here and in the checkpoint: only a mark stays.

        Args:
            subject: what was asked about them.
            digests: of their addresses, where a later attempt couldn't know them otherwise.
        """
        self.has_answers = True
        mark = Answers(objected=True, credits=subject.answers.credits, digests=tuple(digests))
        subject.missing.clear()
        if subject.answers != mark:
            subject.answers = mark
            await self._checkpoint.keep(subject.item, mark)
