"""What can go wrong with a search.

leadplan_responder.ToolError
├── NoTurnError                   the rate limit of the key let nothing through in time
└── leadplan_web_apis.errors.ApiCallError
    ├── NoUsableAnswerError       no answer in time, no connection, or an answer that can't be read
    └── GoogleRefusedError        Google answered with an error
        └── InvalidArgumentError  it doesn't accept something in the request; of a later page that can be the token
"""

from leadplan_contracts.error_codes import StepErrorCode
from leadplan_responder import ToolError
from leadplan_web_apis.errors import ApiCallError

SHORTEST_PAUSE_SECONDS = 5.0
"""Wait for a turn that didn't come though nobody holds the limit: a minute's places come free one by one."""


class NoTurnError(ToolError):
    """All searches of the minute are taken, and the attempt ends before one is free.

    It is answered ``busy``, so that the executor sends the attempt again later and doesn't count it as failed.

    Args:
        held_for: seconds for which Google asked to pause, 0 if it didn't.
    """

    def __init__(self, held_for: float) -> None:
        message = "All Google Places searches of this minute are taken; the search goes on when there is room."
        super().__init__(message, code=StepErrorCode.BUSY, retry_after=max(held_for, SHORTEST_PAUSE_SECONDS))


class GoogleRefusedError(ApiCallError):
    """Google answered with an error; ``code``, ``retryable`` and ``retry_after`` say what follows from it."""


class InvalidArgumentError(GoogleRefusedError):
    """Google answered 400 ``INVALID_ARGUMENT``, and not about the key."""
