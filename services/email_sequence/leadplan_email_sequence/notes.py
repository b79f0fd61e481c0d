"""What a person should know of a step that succeeded."""

from leadplan_email_sequence.sequence_state import Phase, SequenceState

_PAUSED = "The sequence is paused: nobody is mailed until somebody resumes it in Hunter."
_PLANNED = "The sequence is planned: mails go out when its date comes."
_EMPTY = "The sequence wasn't started, because nobody is in it."
_DRAFT = "Nobody is mailed yet: the sequence isn't started. Start it in Hunter, or run a step with start: true."
_RUNS = "The sequence runs already. This step added nobody to it."


def note_for(state: SequenceState, *, started: bool, wanted: bool) -> str | None:
    """What to tell, None where the result speaks for itself.

    Args:
        state: what Hunter said of the sequence before anybody was added.
        started: whether it runs now.
        wanted: whether it was to be started.
    """
    if state.phase is Phase.PAUSED:
        return _PAUSED
    if started:
        return _PLANNED if state.status == "planned" else None
    if wanted:
        return _EMPTY
    return _DRAFT if state.phase is Phase.DRAFT else _RUNS
