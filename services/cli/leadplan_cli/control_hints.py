"""The command that helps where an executor refused what was asked for."""

from leadplan_client import ControlRefusedError
from leadplan_contracts.control import ControlErrorCode

_COMMANDS: dict[str, str] = {
    ControlErrorCode.UNKNOWN_STEP: "leadplan status {plan}",
    ControlErrorCode.PLAN_REJECTED: "leadplan status {plan}",
    ControlErrorCode.NOT_BEGUN: "leadplan watch {plan}",
    ControlErrorCode.ALREADY_COMPLETED: "leadplan status {plan}",
    ControlErrorCode.NOT_COMPLETED: "leadplan watch {plan}",
    ControlErrorCode.NOTHING_TO_RETRY: "leadplan retry {plan} STEP",
    ControlErrorCode.DEPENDENCY_NOT_MET: "leadplan status {plan}",
    ControlErrorCode.BEING_CANCELLED: "leadplan watch {plan}",
    ControlErrorCode.NOT_WAITING: "leadplan status {plan}",
    ControlErrorCode.ALREADY_DECIDED: "leadplan events {plan}",
    ControlErrorCode.UNAVAILABLE: "leadplan doctor",
}


def refusal_hint(error: ControlRefusedError) -> str | None:
    """What to try after a refusal; None where its message has to be enough."""
    command = _COMMANDS.get(error.code)
    return command.format(plan=error.plan_id or "PLAN") if command else None
