"""PROCESS TESTS: what the tools' processes send with real base addresses, against the API documents, field by field.

Each tool runs as ``leadplan tool NAME``, with no base address set: it calls places.googleapis.com and api.hunter.io. A
proxy that the process is pointed to by the usual variables ends TLS, records every byte, and answers as the sandbox.
"""

import ast
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from documented_requests import Endpoint, documented_endpoints, endpoint_of, hosts, problems_of
from nats.aio.client import Client
from pydantic import SecretStr
from recording_proxy import RecordedRequest, answering_with, recording_proxy
from request_mutations import mutations_of
from tool_processes import ALL_TOOLS, tool_processes

from leadplan_cli.tool_pages.tables import tool_of
from leadplan_sandbox import SandboxSettings, build_app

GOOGLE_KEY = "test-api-key-of-google"
HUNTER_KEY = "test-api-key-of-hunter"
CALLING = ("leadplan_google_places", "leadplan_hunter", "leadplan_email_sequence", "leadplan_web_apis")
KEYS = {"places.googleapis.com": GOOGLE_KEY, "api.hunter.io": HUNTER_KEY}
WITHOUT_CREDITS = "no-credits-left.com"
FAULTS = [
    # When a month's credits are used up the account is looked at.
    {"path": "/v2/domain-search", "contains": WITHOUT_CREDITS, "status": 402},
    # After an attempt of unknown outcome the recipients are looked at.
    {"path": "/v2/sequences/42/recipients", "method": "POST", "status": 503, "times": 1},
]
LEEDS = {"low": {"latitude": 53.7, "longitude": -1.8}, "high": {"latitude": 53.9, "longitude": -1.3}}

STEPS: list[dict[str, Any]] = [
    {"id": "search", "tool": "GOOGLE_PLACES_SEARCH", "params": {"query": "dentists in Leeds", "maxResults": 45}},
    {
        "id": "narrow-search",
        "tool": "GOOGLE_PLACES_SEARCH",
        "params": {
            "query": "restaurants",
            "regionCode": "UK",
            "languageCode": "en-GB",
            "includedType": "restaurant",
            "strictTypeFiltering": True,
            "minRating": 3.5,
            "openNow": True,
            "priceLevels": ["PRICE_LEVEL_MODERATE", "PRICE_LEVEL_EXPENSIVE"],
            "rankPreference": "RELEVANCE",
            "locationRestriction": {"rectangle": LEEDS},
        },
    },
    {
        "id": "near-search",
        "tool": "GOOGLE_PLACES_SEARCH",
        "params": {
            "query": "plumbers",
            "includePureServiceAreaBusinesses": True,
            "includeClosed": True,
            "details": ["website", "phone", "rating", "priceLevel", "openingHours", "postalAddress", "primaryType"],
            "locationBias": {"circle": {"center": {"latitude": 53.8, "longitude": -1.55}, "radius": 5000}},
        },
    },
    {
        "id": "domains",
        "tool": "HUNTER_DOMAIN_LOOKUP",
        "params": {"sourceStepId": "search", "contactsPerDomain": 3},
        "dependsOn": ["search"],
    },
    {
        "id": "managers",
        "tool": "HUNTER_DOMAIN_LOOKUP",
        "params": {
            "domains": ["https://www.harbour-dental-leeds.co.uk/team?x=1", "acme-software-london.co.uk"],
            "contactsPerDomain": 120,
            "departments": ["management", "executive"],
            "seniorities": ["senior", "executive"],
            "type": "personal",
            "requiredFields": ["full_name", "position"],
            "verificationStatuses": ["valid", "accept_all"],
            "jobTitles": ["Practice Manager", "Dentist & Owner"],
        },
    },
    {
        "id": "enrich",
        "tool": "HUNTER_ENRICH",
        "params": {"sourceStepId": "domains", "verifyAgain": True},
        "dependsOn": ["domains"],
    },
    {
        "id": "people",
        "tool": "HUNTER_ENRICH",
        "params": {
            "people": [
                {"firstName": "Zoë", "lastName": "O'Brien", "domain": "harbour-dental-leeds.co.uk"},
                {"fullName": "Ada Hall", "company": "Harbour Dental Leeds"},
                {"linkedinHandle": "ada-hall"},
            ]
        },
    },
    {"id": "known", "tool": "HUNTER_ENRICH", "params": {"emails": ["pending@sandbox.example", "o+x@sandbox.example"]}},
    {
        "id": "no-credits",
        "tool": "HUNTER_DOMAIN_LOOKUP",
        "params": {"domains": [WITHOUT_CREDITS]},
        "optional": True,
    },
    {
        "id": "save",
        "tool": "LEAD_LIST_SAVE",
        "params": {"sourceStepId": "enrich", "listName": "Leeds dentists"},
        "dependsOn": ["enrich"],
    },
    {
        "id": "outreach",
        "tool": "EMAIL_SEQUENCE_SETUP",
        "params": {"sourceStepId": "save", "sequenceId": 42, "start": True},
        "dependsOn": ["save"],
        "retry": {"baseDelayMs": 10},
    },
    {
        "id": "save-known",
        "tool": "LEAD_LIST_SAVE",
        "params": {"sourceStepId": "known", "listName": "Known"},
        "dependsOn": ["known"],
    },
    {
        "id": "outreach-known",
        "tool": "EMAIL_SEQUENCE_SETUP",
        "params": {"sourceStepId": "save-known", "sequenceId": 45, "start": True},
        "dependsOn": ["save-known"],
    },
    {
        "id": "monitor",
        "tool": "MONITOR_SETUP",
        "params": {"schedule": "0 9 * * 1", "timeZone": "Europe/London"},
        "dependsOn": ["save"],
    },
]


# What httpx puts in: it depends on what is installed beside it.
_CLIENT = "".join(f"{name.title()}: {value}\r\n" for name, value in httpx.Client(verify=False).headers.items())
_GOOGLE = f"Host: places.googleapis.com\r\n{_CLIENT}X-Goog-Api-Key: {GOOGLE_KEY}\r\n"
_HUNTER = f"Host: api.hunter.io\r\n{_CLIENT}X-API-KEY: {HUNTER_KEY}\r\n"

A_SEARCH = (
    f"POST /v1/places:searchText HTTP/1.1\r\n{_GOOGLE}"
    "X-Goog-FieldMask: places.id,places.displayName,places.businessStatus,places.attributions,places.formattedAddress"
    ",places.location,places.types,places.googleMapsUri,places.websiteUri,places.nationalPhoneNumber"
    ",places.internationalPhoneNumber,places.rating,places.userRatingCount,nextPageToken\r\n"
    "Content-Length: 381\r\nContent-Type: application/json\r\n\r\n"
    '{"textQuery":"restaurants","pageSize":20,"regionCode":"GB","languageCode":"en-GB","locationRestriction":'
    '{"rectangle":{"low":{"latitude":53.7,"longitude":-1.8},"high":{"latitude":53.9,"longitude":-1.3}}},'
    '"includedType":"restaurant","strictTypeFiltering":true,"minRating":3.5,"openNow":true,'
    '"priceLevels":["PRICE_LEVEL_MODERATE","PRICE_LEVEL_EXPENSIVE"],"rankPreference":"RELEVANCE"}'
)
A_LOOKUP = (
    "GET /v2/domain-search?domain=harbour-dental-leeds.co.uk&type=personal&department=management%2Cexecutive"
    "&seniority=senior%2Cexecutive&required_field=full_name%2Cposition&verification_status=valid%2Caccept_all"
    f"&job_titles=Practice+Manager%2CDentist+%26+Owner&limit=100&offset=0 HTTP/1.1\r\n{_HUNTER}\r\n"
)
A_FINDER_CALL = (
    "GET /v2/email-finder?domain=harbour-dental-leeds.co.uk&first_name=Zo%C3%AB&last_name=O%27Brien&max_duration=10 "
    f"HTTP/1.1\r\n{_HUNTER}\r\n"
)
NEW_RECIPIENTS = (
    f"POST /v2/sequences/45/recipients HTTP/1.1\r\n{_HUNTER}"
    "Content-Length: 60\r\nContent-Type: application/json\r\n\r\n"
    '{"emails":["pending@sandbox.example","o+x@sandbox.example"]}'
)


@dataclass(frozen=True)
class Run:
    """What one plan with every tool and param made the processes send."""

    requests: list[RecordedRequest]
    refused: list[str]
    result: dict[str, Any]

    def to(self, method: str, path_start: str) -> list[RecordedRequest]:
        return [one for one in self.requests if one.method == method and one.target.startswith(path_start)]


_finished: list[Run] = []


@pytest.fixture
async def run(
    nc: Client,
    nats_url: str,
    tmp_path: Path,
    start_executor: Callable[..., Awaitable[Any]],
    feed: Any,
    make_plan: Callable[..., dict[str, Any]],
) -> Run:
    """The processes run for the first test that asks; the others look at the same record."""
    if not _finished:
        await start_executor()
        keys = {"google_key": SecretStr(GOOGLE_KEY), "hunter_key": SecretStr(HUNTER_KEY)}
        sandbox = httpx.ASGITransport(build_app(SandboxSettings.model_construct(**keys)))
        async with httpx.AsyncClient(transport=sandbox, base_url="http://sandbox") as admin:
            for fault in FAULTS:
                (await admin.post("/admin/faults", json=fault)).raise_for_status()
        async with recording_proxy(hosts(), answering_with(sandbox), tmp_path / "ca.pem") as proxy:
            environment = {
                "NATS_URL": nats_url,
                "GOOGLE_PLACES_API_KEY": GOOGLE_KEY,
                "HUNTER_API_KEY": HUNTER_KEY,
                "HUNTER_VERIFIER_POLL_SECONDS": "0.1",
                "LEADPLAN_LEADS_DATABASE_URL": f"sqlite:///{tmp_path}/leads.db",
                **proxy.environment,
            }
            async with tool_processes(nc, ALL_TOOLS, tmp_path, environment):
                result = await feed.run(make_plan("p", STEPS), within=60)
            _finished.append(Run(proxy.requests, proxy.refused, result))
    return _finished[0]


async def test_every_request_is_as_documented(run: Run) -> None:
    ended_otherwise = {step["stepId"] for step in run.result["stepResults"] if step["status"] != "succeeded"}
    assert ended_otherwise == {"no-credits"}, run.result
    assert run.refused == []
    assert [problem for one in run.requests for problem in problems_of(one, KEYS[one.host])] == []


async def test_every_endpoint_that_a_tool_calls_was_seen(run: Run) -> None:
    called = {f"{endpoint.method} {endpoint.path}" for endpoint in map(endpoint_of, run.requests) if endpoint}
    assert called == {
        "POST /v1/places:searchText",
        "GET /v2/account",
        "GET /v2/companies/find",
        "GET /v2/domain-search",
        "GET /v2/email-finder",
        "GET /v2/email-verifier",
        "GET /v2/people/find",
        "GET /v2/sequences/{id}",
        "GET /v2/sequences/{id}/recipients",
        "POST /v2/sequences/{id}/recipients",
        "POST /v2/sequences/{id}/start",
    }
    # Those that the code names, lest one be missed that this plan never reaches.
    named = [one for one in documented_endpoints() if "{id}" not in one.path and _is_named_in_code(one)]
    assert {f"{one.method} {one.path}" for one in named} <= called
    assert len(named) > 5


def _is_named_in_code(endpoint: Endpoint) -> bool:
    name = endpoint.path.partition("/")[2].partition("/")[2]
    return name not in ("sequences", "campaigns") and name in _strings_in_code()


@cache
def _strings_in_code() -> frozenset[str]:
    """Every string of the packages that make calls, without slashes around it."""
    services = Path(__file__).parent.parent.parent / "services"
    sources = [path for name in CALLING for path in services.glob(f"*/{name}/**/*.py")]
    nodes = [node for path in sources for node in ast.walk(ast.parse(path.read_text()))]
    constants = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert constants
    return frozenset(text.removeprefix("/v1").strip("/") for text in constants)


def test_every_param_that_google_knows_was_sent(run: Run) -> None:
    (endpoint,) = (one for one in documented_endpoints() if one.path == "/v1/places:searchText")
    assert endpoint.body is not None
    params = set(tool_of("GOOGLE_PLACES_SEARCH").params_model.model_json_schema(by_alias=True)["properties"])
    sent = {name for one in run.to("POST", "/v1/places:searchText") for name in json.loads(one.body)}
    assert sent == (params & set(endpoint.body["properties"])) | {"textQuery", "pageSize", "pageToken"}


async def test_later_pages_repeat_the_first_request(run: Run) -> None:
    pages = [one for one in run.to("POST", "/v1/places:searchText") if b'"dentists in Leeds"' in one.body]
    bodies = [json.loads(one.body) for one in pages]
    assert [bool(body.pop("pageToken", "")) for body in bodies] == [False, True, True]
    assert bodies[1:] == bodies[:1] * 2
    # With the field mask, wherever that stands.
    others = [{name: value for name, value in one.headers if name != "Content-Length"} for one in pages]
    assert others[1:] == others[:1] * 2
    assert len({one.target for one in pages}) == 1


async def test_whole_requests_are_just_these(run: Run) -> None:
    sent = [one.raw.decode() for one in run.requests]
    for request in (A_SEARCH, A_LOOKUP, A_FINDER_CALL, NEW_RECIPIENTS):
        assert sent.count(request) == 1, request


async def test_every_mistake_in_a_request_is_seen(run: Run) -> None:
    one_of_each = {str(endpoint_of(one)): one for one in run.requests}
    unseen = [
        f"{endpoint}: {name}"
        for endpoint, request in one_of_each.items()
        for name, mutated in mutations_of(request, KEYS[request.host])
        if not problems_of(mutated, KEYS[request.host])
    ]
    assert unseen == []
