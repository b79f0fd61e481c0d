"""Errors of the responder SDK, by who must act.

ResponderError
├── ToolError                what a handler raises: the plan's author, or time, must act
├── ConfigurationError       the operator must act: a setting is missing or wrong
└── HandlerSignatureError    the tool team must act: a handler isn't of the form that the SDK calls
"""


class ResponderError(Exception):
    """Base of the SDK's errors."""


class ToolError(ResponderError):
    """The tool couldn't do the step. Raise it in a handler; it becomes the reply (protocol section 5).

    Args:
        message: for people: what was wrong and what to do. It is shown in events, so no secrets.
        code: ``errorCode`` of the reply, one word in snake_case.
        retryable: False when repeating the same request is pointless.
        retry_after: seconds to wait at least before the repeat.
    """

    def __init__(
        self, message: str, *, code: str = "tool_error", retryable: bool = True, retry_after: float | None = None
    ) -> None:
        self.message = message
        self.code = code
        self.retryable = retryable
        self.retry_after = retry_after
        super().__init__(message)


class ConfigurationError(ResponderError):
    """A setting is missing or wrong; the message names it. A responder that raises it at start-up ends with code 2."""


class HandlerSignatureError(ResponderError):
    """A handler must be an async function ``(params, ctx)`` with an annotated params model."""
