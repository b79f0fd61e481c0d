"""The AsyncAPI document: whole, without loose ends, and with every subject of protocol section 1."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft7Validator

from leadplan_contracts.asyncapi import asyncapi_document
from leadplan_contracts.events import LeadPlanEventType

DOCUMENT = asyncapi_document()
CHANNELS = DOCUMENT["channels"]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


def resolve(reference: str) -> Any:
    place: Any = DOCUMENT
    for key in reference.removeprefix("#/").split("/"):
        place = place[key]
    return place


def test_every_reference_leads_somewhere():
    found = set(references(DOCUMENT))
    assert found
    for reference in found:
        assert reference.startswith("#/"), reference
        resolve(reference)


def test_every_message_and_schema_is_used():
    used = set(references(DOCUMENT))
    for kind in ("messages", "schemas"):
        # A top-level model may be there for its own sake.
        names = {f"#/components/{kind}/{name}" for name in DOCUMENT["components"][kind]}
        assert names - used <= {"#/components/schemas/LeadPlanEventPayload"}


def test_the_channels_are_the_subjects_of_the_protocol():
    addresses = sorted(channel["address"] for channel in CHANNELS.values() if channel["address"])
    assert addresses == sorted(
        [
            "plans.execute", "plans.events.{planId}", "plans.log.{planId}", "plans.schedule.{monitorId}",
            "plans.rejected.{planId}", "tools.{tool}", "tools.{tool}.cancel",
            "plans.status", "plans.validate", "plans.list", "plans.cancel", "plans.pause", "plans.resume",
            "plans.retry", "plans.approve",
        ]
    )  # fmt: skip


@pytest.mark.parametrize("name", CHANNELS)
def test_a_channel_describes_each_parameter_of_its_address(name):
    channel = CHANNELS[name]
    in_address = {part[1:-1] for part in (channel["address"] or "").split(".") if part.startswith("{")}
    assert in_address == set(channel.get("parameters", {}))


def test_the_feed_carries_every_event_type_and_the_log_all_but_two():
    every = {str(event_type) for event_type in LeadPlanEventType}
    assert set(CHANNELS["planEvents"]["messages"]) == every
    assert every - set(CHANNELS["planLog"]["messages"]) == {"STEP_PROGRESS", "PLAN_REJECTED"}
    assert set(CHANNELS["planRejects"]["messages"]) == {"PLAN_REJECTED"}


@pytest.mark.parametrize("event_type", LeadPlanEventType)
def test_an_event_message_is_told_apart_by_type_and_by_header(event_type):
    message = DOCUMENT["components"]["messages"][event_type]
    assert resolve(message["payload"]["$ref"])["properties"]["type"] == {"enum": [event_type]}
    assert message["headers"]["properties"]["ce-type"]["const"].endswith(f".{event_type}")


@pytest.mark.parametrize("operation", DOCUMENT["operations"].values(), ids=DOCUMENT["operations"])
def test_an_operation_names_messages_of_its_own_channel_and_replies_to_an_inbox(operation):
    channel = operation["channel"]["$ref"]
    assert operation["action"] in {"send", "receive"}
    for message in operation.get("messages", []):
        assert message["$ref"].startswith(f"{channel}/messages/")
    if "reply" in operation:
        assert resolve(operation["reply"]["channel"]["$ref"])["address"] is None
        assert operation["bindings"] == {"nats": {"queue": "q", "bindingVersion": "0.1.0"}}


def test_stream_names_on_channels_are_described():
    streams = DOCUMENT["x-jetstream"]["streams"]
    assert set(streams) == {"PLANS", "PLAN_LOG", "PLAN_REJECTS"}
    on_channels = {channel["x-jetstream"]["stream"] for channel in CHANNELS.values() if "x-jetstream" in channel}
    assert on_channels == set(streams)


def test_the_schemas_stay_within_what_asyncapi_tools_read():
    # AsyncAPI 3.0 schemas are a superset of draft-07, so nothing newer may stand in them.
    text = json.dumps(DOCUMENT)
    assert all(
        f'"{keyword}"' not in text for keyword in ("$defs", "prefixItems", "unevaluatedProperties", "$dynamicRef")
    )
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft7Validator.check_schema(schema)
