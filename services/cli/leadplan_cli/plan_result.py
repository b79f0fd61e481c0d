"""A plan's result with the data of its steps: as lines of text and as JSON."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from leadplan_bus.errors import ClaimCheckError
from leadplan_cli.plan_lines import duration, number_of
from leadplan_cli.terminal import Paint, printable
from leadplan_client import PlanClient
from leadplan_contracts import LeadGenExecutionResult, LeadGenStepResult, LeadGenStepStatus, OverallStatus
from leadplan_contracts.times import parse_time
from leadplan_contracts.wire import encode

_FETCHES_AT_ONCE = 8
_SHOWN_CHARACTERS = 100
_LOOK = {
    LeadGenStepStatus.SUCCEEDED: ("✓", "+", "green"),
    LeadGenStepStatus.FAILED: ("✗", "x", "red"),
    LeadGenStepStatus.SKIPPED: ("–", "/", "dim"),
    LeadGenStepStatus.RUNNING: ("▶", ">", "cyan"),
    LeadGenStepStatus.PENDING: ("·", "-", "dim"),
}
_STATUS_STYLES = {OverallStatus.SUCCEEDED: "green", OverallStatus.FAILED: "red"}


@dataclass(frozen=True)
class FullResult:
    """A result and, by step, the data that was fetched for it and why some couldn't be."""

    result: LeadGenExecutionResult
    data: Mapping[str, Any]
    lost: Mapping[str, str]


async def fetch_result(client: PlanClient, result: LeadGenExecutionResult) -> FullResult:
    """Fetch what lies in the object store; what is gone from there is noted, and the rest stays of use."""
    gate = asyncio.Semaphore(_FETCHES_AT_ONCE)

    async def data_of(step: LeadGenStepResult) -> tuple[Any, str | None]:
        async with gate:
            try:
                return await client.step_data(step), None
            except ClaimCheckError as error:
                return None, str(error)

    steps = result.step_results
    fetched = await asyncio.gather(*(data_of(step) for step in steps))
    found = {step.step_id: value for step, (value, error) in zip(steps, fetched, strict=True) if error is None}
    lost = {step.step_id: error for step, (_, error) in zip(steps, fetched, strict=True) if error is not None}
    return FullResult(result, found, lost)


def result_json(full: FullResult) -> bytes:
    """One line: the result as on the wire, with ``data`` in every step, and ``dataError`` where it is lost."""
    steps = []
    for step in full.result.step_results:
        shown = msgspec.to_builtins(msgspec.structs.replace(step, data=msgspec.UNSET))
        if step.step_id in full.lost:
            shown["dataError"] = full.lost[step.step_id]
        elif step.data is not msgspec.UNSET or step.data_ref is not None:
            shown.pop("dataRef", None)
            shown["data"] = full.data[step.step_id]
        steps.append(shown)
    whole = msgspec.to_builtins(msgspec.structs.replace(full.result, step_results=[]))
    return encode({**whole, "stepResults": steps})


def result_lines(full: FullResult, paint: Paint) -> list[str]:
    """A heading, and one line a step: its state, tries, time, and its error or the beginning of its data."""
    result = full.result
    took = duration(parse_time(result.finished_at) - parse_time(result.started_at))
    status = paint(result.overall_status.value, _STATUS_STYLES.get(result.overall_status, "yellow"))
    lines = [f"{paint(result.plan_id, 'bold')}  {status} after {took}, ended {result.finished_at}"]
    width = max((len(step.step_id) for step in result.step_results), default=0)
    lines += [_step_line(step, full, width, paint) for step in result.step_results]
    failed = [step for step in result.step_results if step.status is LeadGenStepStatus.FAILED]
    if failed:
        lines.append(paint(f"next: leadplan events {result.plan_id}, leadplan retry {result.plan_id}", "dim"))
    return lines


def _step_line(step: LeadGenStepResult, full: FullResult, width: int, paint: Paint) -> str:
    sign, ascii_sign, style = _LOOK[step.status]
    columns = [
        f"  {paint(sign if paint.signs else ascii_sign, style)} {step.step_id:<{width}}",
        f"{step.status.value:<9}",
        f"{number_of(step.attempts, 'attempt') if step.attempts else '':<10}",
        f"{_took(step):>8}",
        _said(step, full),
    ]
    return "  ".join(columns).rstrip()


def _took(step: LeadGenStepResult) -> str:
    if step.started_at is None or step.finished_at is None:
        return ""
    return duration(parse_time(step.finished_at) - parse_time(step.started_at))


def _said(step: LeadGenStepResult, full: FullResult) -> str:
    if step.error_message is not None:
        code = f"[{step.error_code}] " if step.error_code else ""
        return printable(f"{code}{step.error_message}")
    if step.step_id in full.lost:
        return printable(full.lost[step.step_id])
    data = full.data.get(step.step_id)
    if data is None:
        return ""
    text = printable(encode(data).decode())
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
