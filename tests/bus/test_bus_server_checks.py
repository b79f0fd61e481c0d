"""Findings from facts about a server: each check finds what it is for, and nothing where all is well."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from leadplan_bus.server_checks import Severity, Wanted, check_server
from leadplan_bus.server_facts import (
    NANOSECONDS,
    AccountFacts,
    ConsumerConfigFacts,
    ConsumerFacts,
    Replica,
    ServerFacts,
    ServerNode,
    StreamCluster,
    StreamConfigFacts,
    StreamFacts,
    SyncFacts,
)

WANTED = Wanted(replicas=1, lease_seconds=4.0, max_ack_pending=20_000)
ACCOUNT = msgspec.convert({"api": {"level": 5}}, AccountFacts)
CONSUMER = ConsumerFacts(config=ConsumerConfigFacts(ack_wait=4 * NANOSECONDS, max_ack_pending=20_000))
DAY = 86_400 * NANOSECONDS
AGES = {"PLANS": 14 * DAY, "PLAN_LOG": 30 * DAY, "PLAN_REJECTS": 30 * DAY, "OBJ_PLAN_DATA": 30 * DAY}


def node(name: str = "n1", **more: Any) -> ServerNode:
    return ServerNode(name=name, version=more.pop("version", "2.15.1"), **more)


def streams(**config: Any) -> dict[str, StreamFacts | None]:
    return {name: StreamFacts(config=StreamConfigFacts(**{"max_age": age, **config})) for name, age in AGES.items()}


def with_stream(name: str, cluster: StreamCluster | None = None, **config: Any) -> dict[str, StreamFacts | None]:
    stream = StreamFacts(config=StreamConfigFacts(**{"max_age": AGES.get(name, DAY), **config}))
    return {**streams(), name: msgspec.structs.replace(stream, cluster=cluster or StreamCluster())}


SAFE = ServerFacts(
    clustered=False,
    max_payload=1024 * 1024,
    nodes=(node(),),
    account=ACCOUNT,
    streams=streams(),
    consumer=CONSUMER,
    sync=SyncFacts(always=True, interval_seconds=120.0),
)
CLUSTER = replace(
    SAFE,
    clustered=True,
    nodes=(node("n1"), node("n2"), node("n3")),
    streams=streams(num_replicas=3),
    sync=None,
)
THREE = replace(WANTED, replicas=3)


@pytest.mark.parametrize(("facts", "wanted"), [(SAFE, WANTED), (CLUSTER, THREE), (replace(SAFE, streams={}), WANTED)])
def test_nothing_is_found_where_all_is_well(facts: ServerFacts, wanted: Wanted):
    assert check_server(facts, wanted) == []


UNSAFE, NOTICE, UNKNOWN = Severity.UNSAFE, Severity.NOTICE, Severity.UNKNOWN
BEHIND = StreamCluster(replicas=[Replica(name="n2", current=True), Replica(name="n3", current=True, offline=True)])
CASES: list[tuple[str, dict[str, Any], Severity, str]] = [
    ("version", {"account": msgspec.convert({"api": {"level": 3}}, AccountFacts)}, UNSAFE, "API level 3"),
    ("versions differ", {"nodes": (node("a"), node("b", version="2.14.0"))}, NOTICE, "a 2.15.1, b 2.14.0"),
    ("js_ack_fc_v2", {"nodes": (node(feature_flags={"js_ack_fc_v2": True}),)}, UNSAFE, "is on (n1)"),
    ("max_payload", {"max_payload": 65_536}, UNSAFE, "max_payload is 65536 bytes"),
    ("sync", {"sync": SyncFacts(always=False, interval_seconds=120.0)}, UNSAFE, "to disk every 120 s"),
    ("sync", {"sync": None}, UNKNOWN, "can't be seen"),
    ("sync", {"sync": None, "sync_problem": "refused"}, UNKNOWN, "can't be seen (refused)"),
    ("nodes", {"nodes": ()}, UNKNOWN, "nodes can't be seen"),
    ("clock", {"nodes": (node(clock_ahead_seconds=3.0, clock_error_seconds=0.5),)}, NOTICE, "3.0 s ahead of"),
    ("clock", {"nodes": (node(clock_ahead_seconds=-9.0),)}, NOTICE, "9.0 s behind"),
    ("persist_mode", {"streams": with_stream("PLAN_LOG", persist_mode="async")}, UNSAFE, "PLAN_LOG has persist_mode"),
    ("limits", {"streams": with_stream("PLANS", max_msgs=5)}, UNSAFE, "PLANS has max_msgs 5 with discard old"),
    ("limits", {"streams": with_stream("PLAN_LOG", max_msgs=5, max_bytes=9)}, UNSAFE, "max_msgs 5 and max_bytes 9"),
    ("max_msg_size", {"streams": with_stream("PLAN_LOG", max_msg_size=1000)}, UNSAFE, "at most 1000 bytes"),
    ("ages", {"streams": with_stream("PLAN_LOG", max_age=DAY)}, UNSAFE, "PLANS keeps messages longer than PLAN_LOG"),
    ("ages", {"streams": with_stream("PLAN_LOG", max_age=0)}, UNSAFE, "PLAN_LOG keeps messages longer than OBJ_"),
    ("missing streams", {"streams": {**streams(), "PLAN_LOG": None}}, UNSAFE, "stream PLAN_LOG is missing"),
    (
        "shared consumer",
        {"consumer": ConsumerFacts(config=ConsumerConfigFacts(ack_wait=9 * NANOSECONDS, max_ack_pending=20_000))},
        NOTICE,
        "LEADPLAN_LEASE_MS is 4000 here, and 9000 for",
    ),
    (
        "shared consumer",
        {"consumer": ConsumerFacts(config=ConsumerConfigFacts(ack_wait=4 * NANOSECONDS, max_ack_pending=7))},
        NOTICE,
        "LEADPLAN_MAX_PLANS_IN_QUEUE_GROUP is 20000 here, and 7",
    ),
    (
        "room",
        {
            "account": msgspec.convert(
                {"api": {"level": 5}, "storage": 95, "limits": {"max_storage": 100}}, AccountFacts
            )
        },
        NOTICE,
        "95 of 100 bytes",
    ),
]


@pytest.mark.parametrize(("check", "change", "severity", "text"), CASES)
def test_one_thing_that_is_wrong_is_one_finding(check: str, change: dict[str, Any], severity: Severity, text: str):
    (finding,) = check_server(replace(SAFE, **change), WANTED)
    assert (finding.check, finding.severity) == (check, severity)
    assert text in finding.what
    assert str(finding) == f"{finding.what}: {finding.why}. {finding.remedy}"
    assert "\n" not in str(finding)


@pytest.mark.parametrize(
    ("check", "change", "wanted", "severity", "text"),
    [
        ("cluster size", {}, WANTED, UNSAFE, "LEADPLAN_REPLICAS is 1 in a cluster of 3 nodes"),
        ("sync", {"sync": SyncFacts(always=False, interval_seconds=120.0)}, THREE, NOTICE, "to disk every 120 s"),
        ("cluster size", {"nodes": (node(),)}, THREE, UNSAFE, "LEADPLAN_REPLICAS is 3, and 1 node answered"),
        ("replicas", {"streams": {**CLUSTER.streams, **streams()}}, THREE, UNSAFE, "stream PLANS has 1"),
        (
            "replicas",
            {"streams": {**CLUSTER.streams, "KV_TOOL_CHECKPOINTS": StreamFacts(config=StreamConfigFacts())}},
            THREE,
            NOTICE,
            "stream KV_TOOL_CHECKPOINTS has 1",
        ),
        (
            "replicas",
            {"streams": {**CLUSTER.streams, "KV_PLAN_INDEX": StreamFacts(config=StreamConfigFacts())}},
            THREE,
            NOTICE,
            "stream KV_PLAN_INDEX has 1",
        ),
        (
            "replicas behind",
            {"streams": {"PLANS": StreamFacts(config=StreamConfigFacts(num_replicas=3), cluster=BEHIND)}},
            THREE,
            NOTICE,
            "stream PLANS: n3 is offline",
        ),
    ],
)
def test_a_cluster_is_held_against_the_replicas(
    check: str, change: dict[str, Any], wanted: Wanted, severity: Severity, text: str
):
    found = [one for one in check_server(replace(CLUSTER, **change), wanted) if one.check == check]
    assert found[0].severity is severity
    assert text in found[0].what


def test_limits_that_refuse_instead_of_dropping_are_the_operators_choice():
    assert check_server(replace(SAFE, streams=with_stream("PLAN_LOG", max_bytes=9, discard="new")), WANTED) == []


def test_a_clock_is_not_blamed_for_a_slow_answer():
    slow = replace(SAFE, nodes=(node(clock_ahead_seconds=2.5, clock_error_seconds=1.0),))
    assert check_server(slow, WANTED) == []


def test_unsafe_findings_come_first():
    facts = replace(SAFE, sync=None, max_payload=1, nodes=(node(clock_ahead_seconds=60),))
    assert [one.severity for one in check_server(facts, WANTED)] == [UNSAFE, NOTICE, UNKNOWN]
