"""What can go wrong with Hunter's sequences.

leadplan_responder.ToolError
└── SequenceError    a call to Hunter failed; code, retryable and retry_after say what follows from it
"""

from leadplan_responder import ToolError


class SequenceError(ToolError):
    """A call to Hunter failed."""

    def after(self, done: str) -> "SequenceError":
        """The same error, with what was done before it."""
        return SequenceError(
            f"{self.message} {done}", code=self.code, retryable=self.retryable, retry_after=self.retry_after
        )
