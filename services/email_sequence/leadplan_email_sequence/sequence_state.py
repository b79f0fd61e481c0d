"""What Hunter says of a sequence, and what that means for adding people to it."""

from enum import Enum, auto

from leadplan_email_sequence.errors import SequenceError
from leadplan_web_apis.tolerant import ApiAnswer, Tolerant


class Phase(Enum):
    """What becomes of somebody who is added now."""

    DRAFT = auto()
    """Nothing, until the sequence is started."""
    PAUSED = auto()
    """Nothing, until somebody resumes the sequence in Hunter."""
    RUNS = auto()
    """They are mailed, at once or when the sequence's date and hours come."""
    UNKNOWN = auto()
    """Nobody knows: the status is a new one. They may be mailed at once."""
    ARCHIVED = auto()
    """Nothing ever: the sequence was put away, which can't be undone by the API."""
    COMPLETED = auto()
    """Nothing: the sequence has run to its end."""
    BROKEN = auto()
    """Nothing, until somebody puts the sequence right in Hunter."""


_BY_STATUS = {
    "draft": Phase.DRAFT,
    "planned": Phase.RUNS,
    "preparing": Phase.RUNS,
    "active": Phase.RUNS,
    "paused": Phase.PAUSED,
    "completed": Phase.COMPLETED,
    "archived": Phase.ARCHIVED,
    "error": Phase.BROKEN,
}
_UNUSABLE = {
    Phase.ARCHIVED: ("sequence_archived", "is archived, and Hunter can't bring it back. Use another sequence."),
    Phase.COMPLETED: ("sequence_completed", "has run to its end: nobody who is added is mailed. Use another sequence."),
    Phase.BROKEN: ("sequence_broken", "has an error. Put that right in Hunter's dashboard, then run the step again."),
}


class SequenceState(ApiAnswer):
    """``data`` of ``GET /sequences/{id}``. The flags are documented for the list of sequences only."""

    name: Tolerant[str] = None
    status: str
    recipients_count: Tolerant[int] = None
    started: Tolerant[bool] = None
    archived: Tolerant[bool] = None
    paused: Tolerant[bool] = None

    @property
    def phase(self) -> Phase:
        """What becomes of somebody who is added now. Where status and flags differ, the more careful reading counts."""
        told = _BY_STATUS.get(self.status, Phase.UNKNOWN)
        if self.archived:
            return Phase.ARCHIVED
        if self.paused and told in (Phase.RUNS, Phase.UNKNOWN):
            return Phase.PAUSED
        return Phase.RUNS if self.started and told is Phase.DRAFT else told

    @property
    def mails_at_once(self) -> bool:
        """Whether somebody who is added can be mailed without another step being taken."""
        return self.phase in (Phase.RUNS, Phase.UNKNOWN)

    def check_usable(self, sequence_id: int) -> None:
        """Refuse a sequence that mails nobody any more.

        Raises:
            SequenceError: not retryable; it says what to do.
        """
        if self.phase in _UNUSABLE:
            code, words = _UNUSABLE[self.phase]
            raise SequenceError(f"Sequence {sequence_id} {words}", code=code, retryable=False)
