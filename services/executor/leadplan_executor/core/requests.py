"""What a tool is told of its step (protocol section 5)."""

import msgspec
from msgspec import Raw

from leadplan_contracts import LeadToolExecutionEnv
from leadplan_contracts.subjects import MAX_PLAN_IN_REQUEST_BYTES
from leadplan_contracts.times import format_time
from leadplan_contracts.wire import encode
from leadplan_executor.core.state import PlanRun

_object_decoder = msgspec.json.Decoder(dict[str, Raw])


def idempotency_key(plan_id: str, step_id: str) -> str:
    """The same for every attempt of a step, after a crash and in every round too."""
    return f"{plan_id}:{step_id}"


def plan_for_tools(plan_json: Raw) -> Raw:
    """The whole plan while its JSON is at most 32 KiB, else the plan without ``steps``."""
    if len(memoryview(plan_json)) <= MAX_PLAN_IN_REQUEST_BYTES:
        return plan_json
    fields = _object_decoder.decode(plan_json)
    return Raw(encode({name: value for name, value in fields.items() if name != "steps"}))


def execution_env(run: PlanRun, index: int, attempt: int, now: int) -> LeadToolExecutionEnv:
    """What goes with a step's params to its tool, for an attempt that begins now."""
    step = run.steps[index]
    timeout_ms = step.step.attempt_timeout_ms
    ends_at = now + timeout_ms
    if run.deadline_at is not None:
        ends_at = min(ends_at, run.deadline_at)
    if step.deadline_at is not None:
        ends_at = min(ends_at, step.deadline_at)
    return LeadToolExecutionEnv(
        plan_id=run.plan_id,
        step_id=step.step.id,
        attempt=attempt,
        idempotency_key=idempotency_key(run.plan_id, step.step.id),
        round=run.round if run.round > 1 else None,
        deadline=format_time(ends_at),
        timeout_ms=timeout_ms,
        user=run.user,
        plan=run.plan_for_tools,
        prior_results={run.steps[before].step.id: run.steps[before].result for before in run.graph.ancestors(index)},
    )
