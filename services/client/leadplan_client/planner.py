"""``plan_lead_generation``: the six-step plan for a goal (protocol section 2).

Context keys that are read (all others are kept in the plan and mean nothing here):

================================  ======================================================================================
``query``                         what to search for, in place of what the goal's words name
``country``                       two letters, such as ``GB``: ``regionCode`` of the search
``language``                      such as ``en``: ``languageCode`` of the search
``locationBias``                  an area to prefer, as the search's param of that name
``locationRestriction``           an area to keep to, likewise
``includedType``                  one of Google's place types, such as ``dentist``
``strictTypeFiltering``           true for places of that type only
``minRating``                     0 to 5
``priceLevels``                   list of Google's price levels, such as ``PRICE_LEVEL_MODERATE``
``includeServiceAreaBusinesses``  true for businesses without an address as well, such as plumbers
``placeDetails``                  list of facts to ask for, which set the search's price: ``details`` of the search
``contactsPerDomain``             1 to 100
``departments``                   list of Hunter's departments
``seniorities``                   list of ``junior``, ``senior``, ``executive``
``minConfidence``                 0 to 100: leads below it are dropped
``listName``                      the lead list; default ``Leeds dentists`` for ``dentists in Leeds``
``sequenceId``                    the Hunter sequence that new leads are added to
``startSequence``                 true starts the sequence, which sends mail; default false
``schedule``                      five-field cron or ``every 6h``; ``false`` for no monitor
``timeZone``                      IANA name that the schedule is meant in; default UTC
================================  ======================================================================================
"""

import time
from collections.abc import Mapping
from typing import Any

import msgspec

from leadplan_bus.tokens import new_token
from leadplan_client.context_keys import PARAMS_BY_CONTEXT_KEY, checked_context
from leadplan_client.errors import GoalError, InvalidPlanIdError
from leadplan_client.goal_text import list_name_of, read_goal, title_of
from leadplan_contracts import LeadGenContext, LeadGenGoal, LeadGenPlan, LeadGenPlanStep
from leadplan_contracts.times import format_time
from leadplan_contracts.wire import SubmittedPlanId

MAX_RESULTS = 60
"""Google Places returns at most so many places for one query."""

DEFAULT_SCHEDULE = "0 9 * * 1"
"""Mondays at nine."""

# One attempt. Hunter's rate limits (10 to 15 calls a second) make long lists take minutes.
_DOMAINS_TIMEOUT_MS = 300_000
_ENRICH_TIMEOUT_MS = 900_000
_OUTREACH_TIMEOUT_MS = 120_000


def plan_lead_generation(
    goal: LeadGenGoal, context: LeadGenContext, *, plan_id: str | None = None, now_ms: int | None = None
) -> LeadGenPlan:
    """Build the plan for a goal: search, domains, enrich, save, outreach, monitor.

    The query is what the goal names ("Find dentists in Leeds and start outreach": ``dentists in Leeds``). As many
    places are searched for as ``goal.target_count`` says, else the number in the words, at most 60; without either
    the tool's own default holds. Two steps depend on the context:

    - ``outreach`` is there when the context has a ``sequenceId``: a sequence with its texts and its sender can only
      be made in Hunter's own pages, so nothing can stand in for it.
    - ``monitor`` is there unless the context has ``"schedule": false``; its default is Mondays at nine.

    The context keys that are read stand at the top of this module.

    Args:
        goal: what the user wants.
        context: keys and values; null means absent.
        plan_id: the plan's id; a fresh one if None.
        now_ms: milliseconds since 1970 for ``created_at``; the clock's if None.

    Raises:
        InvalidPlanIdError: ``plan_id`` is none, or begins with ``_``, which is reserved.
        GoalError: the goal names nothing to search for, or a context key has a value of the wrong type.
    """
    given = checked_context(context)
    if plan_id is not None:
        _check_plan_id(plan_id)
    wanted = read_goal(goal.description)
    query = given.get("query", wanted.query)
    if not query:
        raise GoalError(
            f"the goal {goal.description[:200]!r} names nothing to search for: "
            "write for example 'Find dentists in Leeds', or give the context key 'query'"
        )
    count = goal.target_count or wanted.target_count
    return LeadGenPlan(
        id=plan_id or f"plan_{new_token()}",
        title=title_of(query),
        goal=goal,
        context=context or None,
        created_at=format_time(time.time_ns() // 1_000_000 if now_ms is None else now_ms),
        steps=_steps(query, count, given),
    )


def _check_plan_id(plan_id: str) -> None:
    try:
        msgspec.convert(plan_id, SubmittedPlanId)
    except msgspec.ValidationError:
        raise InvalidPlanIdError(plan_id) from None


def _steps(query: str, count: int | None, given: Mapping[str, Any]) -> list[LeadGenPlanStep]:
    results = {} if count is None else {"maxResults": min(count, MAX_RESULTS)}
    steps = [
        _step("search", "GOOGLE_PLACES_SEARCH", f"Find {query}", None, {"query": query, **results}, given),
        _step("domains", "HUNTER_DOMAIN_LOOKUP", "Look up contacts", "search", {}, given, _DOMAINS_TIMEOUT_MS),
        _step("enrich", "HUNTER_ENRICH", "Verify and enrich leads", "domains", {}, given, _ENRICH_TIMEOUT_MS),
        _step("save", "LEAD_LIST_SAVE", "Save leads", "enrich", {"listName": list_name_of(query)}, given),
    ]
    if "sequenceId" in given:
        label = "Start outreach" if given.get("startSequence") else "Prepare outreach"
        steps.append(_step("outreach", "EMAIL_SEQUENCE_SETUP", label, "save", {}, given, _OUTREACH_TIMEOUT_MS))
    if given.get("schedule") is not False:
        label = "Set up the monitor"
        # No source: the monitor repeats the steps that it depends on.
        monitor = _step("monitor", "MONITOR_SETUP", label, "save", {"schedule": DEFAULT_SCHEDULE}, given, sourced=False)
        steps.append(monitor)
    return steps


def _step(
    step_id: str,
    tool: str,
    label: str,
    source: str | None,
    params: dict[str, Any],
    given: Mapping[str, Any],
    timeout_ms: int | None = None,
    *,
    sourced: bool = True,
) -> LeadGenPlanStep:
    read = {"sourceStepId": source} if source and sourced else {}
    chosen = {param: given[key] for key, param in PARAMS_BY_CONTEXT_KEY[step_id].items() if key in given}
    return LeadGenPlanStep(
        id=step_id,
        tool=tool,
        label=label,
        params={**read, **params, **chosen},
        depends_on=[source] if source else None,
        timeout_ms=timeout_ms,
    )
