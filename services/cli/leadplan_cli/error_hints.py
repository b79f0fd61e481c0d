"""What to try next, for errors of the client library: it knows no command line."""

from leadplan_cli.control_hints import refusal_hint
from leadplan_client import errors


def with_hint(error: Exception) -> str:
    """An error's message, and the command that helps where there is one."""
    hint = _hint(error)
    return f"{error}; try {hint}" if hint else str(error)


def _hint(error: Exception) -> str | None:
    match error:
        case errors.ControlRefusedError():
            return refusal_hint(error)
        case errors.UnknownPlanError():
            return "leadplan list"
        case errors.PlanNotFinishedError():
            return f"leadplan watch {error.plan_id}"
        case errors.SubmissionRejectedError():
            return f"leadplan events {error.plan_id}"
        case errors.StreamsMissingError() | errors.NoAnswerError() | errors.EventsLostError():
            return "leadplan doctor"
        case _:
            return None
