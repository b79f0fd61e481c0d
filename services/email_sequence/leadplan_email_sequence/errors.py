"""What can go wrong with a sequence.

leadplan_responder.ToolError
└── SequenceError               a call to Hunter failed, or the sequence can't be used as the step asks
    └── CallRefusedError        Hunter answered, and surely did nothing of what the call asked for
        └── AddressRefusedError Hunter refused a whole batch because of one of its addresses
"""

from leadplan_responder import ToolError


class SequenceError(ToolError):
    """A call to Hunter failed, or the sequence can't be used; ``code`` and ``retryable`` say what follows from it."""

    def after(self, done: str) -> "SequenceError":
        """The same error, with what was done before it."""
        message = f"{self.message} {done}"
        return SequenceError(message, code=self.code, retryable=self.retryable, retry_after=self.retry_after)


class CallRefusedError(SequenceError):
    """Hunter surely did nothing of what the call asked for."""


class AddressRefusedError(CallRefusedError):
    """Hunter refused a whole batch because of one of its addresses, and doesn't say which.

    Attributes:
        reason: what is the matter with it, in the words that Hunter uses for skipped recipients.
    """

    reason: str = "invalid"
