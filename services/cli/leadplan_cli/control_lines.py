"""What an executor did to a plan, as a line of text."""

from leadplan_cli.plan_lines import number_of
from leadplan_contracts.control import ControlReply, PlanState

_NAMED_STEPS = 5


def reply_line(action: str, reply: ControlReply) -> str:
    """What became of a request, and the command that comes next; ``action`` is the command's name."""
    plan = reply.plan_id
    steps = _steps(reply)
    match action, reply.changed:
        case "cancel", _:
            return _cancelled(reply)
        case "pause", True:
            return f"plan {plan} is paused: what runs finishes, nothing new starts; next: leadplan resume {plan}"
        case "pause", False:
            return f"plan {plan} was paused already; next: leadplan resume {plan}"
        case "resume", True:
            return f"plan {plan} goes on; next: leadplan watch {plan}"
        case "resume", False:
            return f"plan {plan} was not paused; next: leadplan status {plan}"
        case "retry", True:
            return f"plan {plan} runs again{f' from {steps}' if steps else ''}; next: leadplan watch {plan}"
        case "retry", False:
            return f"plan {plan} runs again already; next: leadplan watch {plan}"
        case _:
            return _decided(action, reply, steps)


def _cancelled(reply: ControlReply) -> str:
    plan = reply.plan_id
    if reply.state is PlanState.COMPLETED:
        return f"plan {plan} {'is cancelled' if reply.changed else 'was cancelled already'}"
    being = "is being cancelled" if reply.changed else "was being cancelled already"
    return f"plan {plan} {being}; next: leadplan watch {plan}"


def _decided(action: str, reply: ControlReply, steps: str) -> str:
    decided = "approved" if action == "approve" else "denied"
    what = f"{steps} of plan {reply.plan_id}" if steps else f"plan {reply.plan_id}"
    already = "" if reply.changed else " already"
    return f"{what}: {decided}{already}; next: leadplan watch {reply.plan_id}"


def _steps(reply: ControlReply) -> str:
    ids = reply.steps or []
    if not ids:
        return ""
    if len(ids) > _NAMED_STEPS:
        return number_of(len(ids), "step")
    return f"step{'' if len(ids) == 1 else 's'} {', '.join(ids)}"
