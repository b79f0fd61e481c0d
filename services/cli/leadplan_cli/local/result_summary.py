"""What a run of a lead-generation plan brought."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from leadplan_bus.errors import ClaimCheckError
from leadplan_cli.plan_lines import number_of
from leadplan_client import PlanClient
from leadplan_contracts import LeadGenExecutionResult, LeadGenStepStatus

_Data = Mapping[str, Any]


@dataclass(frozen=True)
class RunSummary:
    """What a run brought.

    Attributes:
        lines: one for each step that brought something or failed.
        data: what each step that succeeded returned, by the step's id.
    """

    lines: list[str]
    data: Mapping[str, _Data]


async def summarise(client: PlanClient, result: LeadGenExecutionResult) -> RunSummary:
    """Sum up a run of the steps of ``plan_lead_generation``, which are known by their ids."""
    lines: list[str] = []
    brought: dict[str, _Data] = {}
    for step in result.step_results:
        if step.step_id not in _SENTENCES or step.status is LeadGenStepStatus.SKIPPED:
            continue
        if step.status is not LeadGenStepStatus.SUCCEEDED:
            lines.append(f"{step.step_id:<10} {step.status.value}: {step.error_message or 'no reason given'}")
            continue
        try:
            data = brought[step.step_id] = await client.step_data(step)
        except ClaimCheckError as error:
            lines.append(f"{step.step_id:<10} {error}")
            continue
        lines.append(f"{step.step_id:<10} {_SENTENCES[step.step_id](data)}")
    return RunSummary(lines, brought)


def saved_again(data: _Data) -> str:
    """What saving brought where the leads were saved before.

    Args:
        data: of the step that saved.
    """
    new, known = number_of(data["leadsNew"], "new lead"), data["leadsUpdated"]
    return f"{new}, {known} known. Nobody stands in the list twice, and this run mails nobody."


def _search(data: _Data) -> str:
    return f"{number_of(len(data['places']), 'place')} for {data['query']!r}"


def _domains(data: _Data) -> str:
    found = sum(domain["outcome"] == "found" for domain in data["domains"])
    return f"{number_of(data['contactsFound'], 'contact')} at {found} of {len(data['domains'])} companies"


def _enrich(data: _Data) -> str:
    objected = len(data["objected"]) + data["objectedWithoutAddress"]
    people = f", {objected} who object to it left out" if objected else ""
    return f"{number_of(len(data['leads']), 'lead')} enriched, {len(data['dropped'])} dropped{people}"


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
