"""What ``leadplan tool MONITOR_SETUP`` serves."""

from leadplan_contracts import OverlapPolicy, Recurrence
from leadplan_monitor.errors import MonitorError, MonitorTakenError, ScheduleError, SchedulePublishError
from leadplan_monitor.models import MonitorParams, MonitorResult
from leadplan_monitor.publishing import publish_schedule
from leadplan_monitor.recurring_plan import build_submission, default_monitor_id, recurring_plan_id
from leadplan_monitor.schedule import parse_schedule
from leadplan_responder import Responder, ToolContext, ToolError


def responder() -> Responder:
    """Make the responder; it has no settings of its own."""
    monitor = Responder("monitor", version="0.1.0", description="Runs part of a plan again and again")

    @monitor.tool("MONITOR_SETUP", effects="idempotent")
    async def set_up_monitor(params: MonitorParams, ctx: ToolContext) -> MonitorResult:
        """Set up a recurring run of the steps that this step depends on."""
        monitor_id = params.monitor_id or default_monitor_id(ctx.plan_id, ctx.step_id)
        recurring_id = recurring_plan_id(ctx.plan_id, monitor_id)
        recurrence = Recurrence(
            id=monitor_id,
            overlap=OverlapPolicy(params.overlap),
            schedule=params.schedule,
            time_zone=params.time_zone,
        )
        try:
            schedule = parse_schedule(params.schedule, params.time_zone)
            submission = build_submission(
                ctx.plan, ctx.user, recurrence, monitor_step=ctx.step_id, recurring_id=recurring_id
            )
            stored = await publish_schedule(ctx.nats, monitor_id, schedule, submission, user=ctx.user)
        except MonitorError as error:
            raise _tool_error(error) from error
        ctx.log.info("monitor %s is %s", monitor_id, "set up" if stored.changed else "there already, unchanged")
        return MonitorResult(
            monitor_id=monitor_id,
            schedule=params.schedule,
            time_zone=params.time_zone,
            overlap=params.overlap,
            plan_id=recurring_id,
            subject=stored.subject,
        )

    return monitor


def _tool_error(error: MonitorError) -> ToolError:
    match error:
        case ScheduleError():
            return ToolError(str(error), code="bad_schedule", retryable=False)
        case MonitorTakenError():
            return ToolError(str(error), code="monitor_taken", retryable=False)
        case SchedulePublishError():
            return ToolError(str(error), code="schedule_not_stored", retryable=error.retryable)
        case _:
            return ToolError(str(error), code="bad_monitored_part", retryable=False)
