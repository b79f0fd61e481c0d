"""What may stand in a plan."""

import json
from collections.abc import AsyncIterator

import pytest
from hunter_enrich_calls import serving
from jsonschema import Draft202012Validator

from leadplan_responder import Responder
from leadplan_responder.testing import call_tool


@pytest.fixture
async def enrich(sandbox_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Responder]:
    async with serving(sandbox_url, monkeypatch) as served:
        yield served


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"sourceStepId": "domains", "emails": ["a@b.c"]},
        {"emails": ["a@b.c"], "people": [{"linkedinHandle": "ada"}]},
        {"emails": ["no address"]},
        {"emails": []},
        {"people": []},
        {"people": [{"fullName": "Ada Hall"}]},
        {"people": [{"firstName": "Ada", "domain": "acme.com"}]},
        {"people": [{"domain": "acme.com"}]},
        {"people": [{"fullName": " ", "domain": "acme.com"}]},
        {"people": [{"linkedinHandle": "ada", "shoeSize": 7}]},
    ],
)
async def test_wrong_params_are_refused(enrich, params):
    call = await call_tool(enrich, "HUNTER_ENRICH", params)

    assert (call.result.error_code, call.result.retryable) == ("invalid_params", False)


@pytest.mark.parametrize(
    ("params", "fits"),
    [
        ({"people": [{"fullName": "Ada Hall", "domain": "acme.com"}]}, True),
        ({"people": [{"firstName": "Ada", "lastName": "Hall", "company": "Acme"}]}, True),
        ({"people": [{"linkedinHandle": "ada", "fullName": None}], "emails": None}, True),
        ({"people": [{"fullName": "Ada Hall"}]}, False),
        ({"people": [{"firstName": "Ada", "domain": "acme.com"}]}, False),
        ({"people": [{"linkedinHandle": "ada"}], "sourceStepId": "domains"}, False),
    ],
)
async def test_the_announced_schema_says_the_same_before_the_plan_runs(enrich, params, fits):
    schema = json.loads(enrich.tools["HUNTER_ENRICH"].params_schema())

    assert Draft202012Validator(schema).is_valid(params) is fits
    call = await call_tool(enrich, "HUNTER_ENRICH", params, prior_results={"domains": {"domains": []}})
    assert (call.result.error_code != "invalid_params") is fits
