"""What went wrong, as one line on standard error and an exit code.

CommandError            bad use (exit code 2) or a failed operation (1); the message says what to do
└── ChildDiedError      a process that ``demo`` or ``dev`` had started ended by itself
"""

# ruff: noqa: PLC0415 - each command imports what it needs when it runs

BAD_USE = 2
FAILED = 1


class CommandError(Exception):
    """A command can't do what it was asked to.

    Args:
        message: one line: what was wrong and what to do.
        exit_code: 2 for bad use, 1 for everything else.
    """

    def __init__(self, message: str, *, exit_code: int = FAILED) -> None:
        self.exit_code = exit_code
        super().__init__(message)


class ChildDiedError(CommandError):
    """A process that has to run ended by itself."""

    def __init__(self, name: str, returncode: int, last_lines: str) -> None:
        self.name = name
        self.returncode = returncode
        super().__init__(f"{name} ended by itself with code {returncode}; the end of its log:\n{last_lines}")


def explained(error: Exception) -> CommandError | None:
    """An error that a user can act on as the command reports it; None for a bug, whose traceback is needed."""
    # Imported here: commands that go well need none of these.
    from nats.errors import Error as NatsError

    from leadplan_bus.errors import AccessError, BusError, InvalidAddressError
    from leadplan_cli.error_hints import with_hint
    from leadplan_client.errors import (
        ClientError,
        GoalError,
        InvalidMonitorIdError,
        InvalidPlanIdError,
        InvalidRequestError,
    )
    from leadplan_responder.errors import ConfigurationError

    if isinstance(error, CommandError):
        return error
    if isinstance(error, AccessError | InvalidAddressError):
        return CommandError(str(error), exit_code=BAD_USE)
    if isinstance(
        error, ConfigurationError | GoalError | InvalidMonitorIdError | InvalidPlanIdError | InvalidRequestError
    ):
        return CommandError(str(error), exit_code=BAD_USE)
    if isinstance(error, BusError | ClientError | ConnectionError):
        return CommandError(with_hint(error))
    if isinstance(error, NatsError):
        return CommandError(f"NATS: {error}")
    return None


def missing_extra(error: ModuleNotFoundError, extra: str) -> CommandError:
    """A command whose packages aren't installed."""
    return CommandError(f"{error.name} is not installed: pip install 'leadplan[{extra}]'", exit_code=BAD_USE)
