"""The plan for a goal: a table of goals and contexts, and the whole plan of the protocol's example."""

from typing import Any

import msgspec
import pytest

from leadplan_client import GoalError, InvalidPlanIdError, plan_lead_generation
from leadplan_client.goal_text import list_name_of, read_goal
from leadplan_contracts import LeadGenGoal, LeadGenPlan, PlanSubmission, SupervisorUserContext
from leadplan_contracts.times import parse_time
from leadplan_contracts.validation import read_plan_submission
from leadplan_contracts.wire import encode

CITY_CENTRE = {"center": {"latitude": 53.8, "longitude": -1.55}, "radius": 2000}
CITY = {"low": {"latitude": 53.7, "longitude": -1.7}, "high": {"latitude": 53.9, "longitude": -1.4}}
GOAL = LeadGenGoal(description="Find dentists in Leeds and start outreach", target_count=40)


def planned(context: dict[str, Any], goal: LeadGenGoal = GOAL) -> dict[str, dict[str, Any]]:
    """The params of the plan's steps by step id."""
    return {step.id: step.params for step in plan_lead_generation(goal, context).steps}


def test_the_protocol_s_example_becomes_its_six_steps():
    context = {"country": "GB", "sequenceId": 42, "timeZone": "Europe/London"}
    now_ms = parse_time("2026-11-23T09:15:02.417Z")
    plan = plan_lead_generation(GOAL, context, plan_id="plan_01HZX4", now_ms=now_ms)

    assert (plan.id, plan.title, plan.created_at) == ("plan_01HZX4", "Dentists in Leeds", "2026-11-23T09:15:02.417Z")
    assert (plan.goal, plan.context) == (GOAL, context)
    assert [(step.id, step.tool, step.depends_on, step.params) for step in plan.steps] == [
        ("search", "GOOGLE_PLACES_SEARCH", None, {"query": "dentists in Leeds", "maxResults": 40, "regionCode": "GB"}),
        ("domains", "HUNTER_DOMAIN_LOOKUP", ["search"], {"sourceStepId": "search"}),
        ("enrich", "HUNTER_ENRICH", ["domains"], {"sourceStepId": "domains"}),
        ("save", "LEAD_LIST_SAVE", ["enrich"], {"sourceStepId": "enrich", "listName": "Leeds dentists"}),
        ("outreach", "EMAIL_SEQUENCE_SETUP", ["save"], {"sourceStepId": "save", "sequenceId": 42}),
        ("monitor", "MONITOR_SETUP", ["save"], {"schedule": "0 9 * * 1", "timeZone": "Europe/London"}),
    ]


@pytest.mark.parametrize(
    ("description", "query", "count"),
    [
        ("Find dentists in Leeds and start outreach", "dentists in Leeds", None),
        ("find me 40 dentists in Leeds, then email them", "dentists in Leeds", 40),
        ("  dentists\n in   Leeds ", "dentists in Leeds", None),
        ("Search for coffee shops and bakeries near York", "coffee shops and bakeries near York", None),
        ("Please find all the plumbers around Bath. Then contact them.", "plumbers around Bath", None),
        ("I want to find up to 25 law firms in St. Albans and add them to a list", "law firms in St. Albans", 25),
        ("Find watch repair shops in Leeds", "watch repair shops in Leeds", None),
        ("Listed buildings in York", "Listed buildings in York", None),
        ("Start outreach to vets in Hull", "vets in Hull", None),
        ("Find", "", None),
        ("Find 3 and start", "", 3),
        ("0 dentists", "dentists", None),
        ("", "", None),
    ],
)
def test_what_a_goal_names(description: str, query: str, count: int | None):
    assert read_goal(description) == (query, count)


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("dentists in Leeds", "Leeds dentists"),
        ("plumbers around bath", "Bath plumbers"),
        ("vegan restaurants", "Vegan restaurants"),
    ],
)
def test_the_list_is_named_after_the_query(query: str, name: str):
    assert list_name_of(query) == name


@pytest.mark.parametrize(
    ("goal", "expected"),
    [
        (LeadGenGoal(description="dentists in Leeds"), None),
        (LeadGenGoal(description="12 dentists in Leeds"), 12),
        (LeadGenGoal(description="12 dentists in Leeds", target_count=7), 7),
        (LeadGenGoal(description="dentists in Leeds", target_count=500), 60),
        (LeadGenGoal(description="500 dentists in Leeds"), 60),
    ],
)
def test_how_many_places_are_searched_for(goal: LeadGenGoal, expected: int | None):
    assert planned({}, goal)["search"].get("maxResults") == expected


def test_without_a_sequence_there_is_no_outreach():
    assert list(planned({})) == ["search", "domains", "enrich", "save", "monitor"]
    assert list(planned({"sequenceId": None})) == ["search", "domains", "enrich", "save", "monitor"]


def test_a_monitor_is_left_out_only_on_request():
    assert planned({})["monitor"] == {"schedule": "0 9 * * 1"}
    assert planned({"schedule": "every 6h"})["monitor"] == {"schedule": "every 6h"}
    assert "monitor" not in planned({"schedule": False})


@pytest.mark.parametrize(
    ("key", "value", "step", "param"),
    [
        ("query", "vets in Hull", "search", "query"),
        ("country", "DE", "search", "regionCode"),
        ("language", "de", "search", "languageCode"),
        ("includedType", "dentist", "search", "includedType"),
        ("strictTypeFiltering", True, "search", "strictTypeFiltering"),
        ("minRating", 4.5, "search", "minRating"),
        ("priceLevels", ["PRICE_LEVEL_MODERATE"], "search", "priceLevels"),
        ("locationBias", {"circle": CITY_CENTRE}, "search", "locationBias"),
        ("locationRestriction", {"rectangle": CITY}, "search", "locationRestriction"),
        ("includeServiceAreaBusinesses", True, "search", "includePureServiceAreaBusinesses"),
        ("placeDetails", [], "search", "details"),
        ("contactsPerDomain", 3, "domains", "contactsPerDomain"),
        ("departments", ["sales"], "domains", "departments"),
        ("seniorities", ["senior"], "domains", "seniorities"),
        ("minConfidence", 80, "enrich", "minConfidence"),
        ("listName", "My list", "save", "listName"),
        ("startSequence", True, "outreach", "start"),
        ("schedule", "0 8 * * *", "monitor", "schedule"),
        ("timeZone", "Europe/Berlin", "monitor", "timeZone"),
    ],
)
def test_a_context_key_becomes_a_param(key: str, value: Any, step: str, param: str):
    with_key = planned({"sequenceId": 1, key: value})
    without = planned({"sequenceId": 1})
    assert with_key[step].pop(param) == value
    without[step].pop(param, None)
    if key != "query":  # a query names the list too
        assert with_key == without


@pytest.mark.parametrize(
    ("context", "named"),
    [
        ({"country": "Germany"}, ["country"]),
        ({"locationBias": "Leeds", "placeDetails": "website"}, ["locationBias", "placeDetails"]),
        ({"sequenceId": "42"}, ["sequenceId"]),
        ({"contactsPerDomain": 0, "schedule": True, "listName": " "}, ["contactsPerDomain", "schedule", "listName"]),
    ],
)
def test_context_values_that_cannot_be_used_are_all_named(context: dict[str, Any], named: list[str]):
    with pytest.raises(GoalError) as raised:
        plan_lead_generation(GOAL, context)
    assert all(f"{key} is " in str(raised.value) for key in named)


def test_a_goal_without_anything_to_search_for_says_what_to_write():
    with pytest.raises(GoalError, match="Find dentists in Leeds"):
        plan_lead_generation(LeadGenGoal(description="Find"), {})
    assert planned({"query": "vets"}, LeadGenGoal(description="Find"))["search"]["query"] == "vets"


@pytest.mark.parametrize("plan_id", ["", "a.b", "*", "_mine", "x" * 129])
def test_a_bad_plan_id_is_refused(plan_id: str):
    with pytest.raises(InvalidPlanIdError):
        plan_lead_generation(GOAL, {}, plan_id=plan_id)


def test_a_plan_is_valid_and_gets_an_id_and_a_time_of_its_own():
    context = {"sequenceId": 42, "somethingElse": {"kept": True}}
    first, second = plan_lead_generation(GOAL, context), plan_lead_generation(GOAL, context)
    assert first.id != second.id
    assert msgspec.structs.replace(first, id=second.id, created_at=second.created_at) == second
    body = encode(PlanSubmission(plan=first, user=SupervisorUserContext(user_id="u_7")))
    assert read_plan_submission(body).plan == first
    assert isinstance(first, LeadGenPlan)
