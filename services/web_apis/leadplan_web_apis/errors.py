"""What can go wrong with a call to a third-party API.

leadplan_responder.ToolError
└── ApiCallError
    ├── NoUsableAnswerError                 no answer in time, no connection, or an answer that can't be read
    └── hunter_errors.HunterCallError       Hunter answered that it doesn't do it
"""

from leadplan_responder import ToolError


class ApiCallError(ToolError):
    """A call failed; ``code``, ``retryable`` and ``retry_after`` say what follows from it."""


class NoUsableAnswerError(ApiCallError):
    """No answer in time, no connection, or an answer that can't be read. Repeating can help."""
