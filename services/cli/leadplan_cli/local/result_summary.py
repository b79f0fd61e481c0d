"""What a lead-generation plan brought, in a few lines."""

from collections.abc import Callable, Mapping
from typing import Any

from leadplan_bus.errors import ClaimCheckError
from leadplan_cli.plan_lines import number_of
from leadplan_client import PlanClient
from leadplan_contracts import LeadGenExecutionResult, LeadGenStepStatus

_Data = Mapping[str, Any]


async def summary_lines(client: PlanClient, result: LeadGenExecutionResult) -> tuple[list[str], str | None]:
    """A line for each step that brought something or failed, and the id of the monitor, if there is one.

    The steps are those of ``plan_lead_generation``, known by their ids.
    """
    lines: list[str] = []
    monitor_id: str | None = None
    for step in result.step_results:
        if step.step_id not in _SENTENCES or step.status is LeadGenStepStatus.SKIPPED:
            continue
        if step.status is not LeadGenStepStatus.SUCCEEDED:
            lines.append(f"{step.step_id:<10} {step.status.value}: {step.error_message or 'no reason given'}")
            continue
        try:
            data = await client.step_data(step)
        except ClaimCheckError as error:
            lines.append(f"{step.step_id:<10} {error}")
            continue
        lines.append(f"{step.step_id:<10} {_SENTENCES[step.step_id](data)}")
        if step.step_id == "monitor":
            monitor_id = data["monitorId"]
    return lines, monitor_id


def _search(data: _Data) -> str:
    return f"{number_of(len(data['places']), 'place')} for {data['query']!r}"


def _domains(data: _Data) -> str:
    found = sum(domain["outcome"] == "found" for domain in data["domains"])
    return f"{number_of(data['contactsFound'], 'contact')} at {found} of {len(data['domains'])} companies"


def _enrich(data: _Data) -> str:
    return f"{number_of(len(data['leads']), 'lead')} enriched, {len(data['dropped'])} dropped"


def _save(data: _Data) -> str:
    return f"{number_of(data['leadsNew'], 'new lead')}, {data['leadsUpdated']} updated, in list {data['listName']!r}"


def _outreach(data: _Data) -> str:
    state = "started" if data["started"] else "not started"
    left_out = f", {len(data['leftOut'])} left out" if data["leftOut"] else ""
    return (
        f"{number_of(data['recipientsAdded'], 'recipient')} added to sequence {data['sequenceId']} ({state}){left_out}"
    )


def _monitor(data: _Data) -> str:
    return f"{data['schedule']} ({data['timeZone']})"


_SENTENCES: Mapping[str, Callable[[_Data], str]] = {
    "search": _search,
    "domains": _domains,
    "enrich": _enrich,
    "save": _save,
    "outreach": _outreach,
    "monitor": _monitor,
}
