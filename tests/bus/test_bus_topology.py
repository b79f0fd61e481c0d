"""Streams and buckets: created when missing, checked when there, and given only the subjects that they lack."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    RePublish,
    RetentionPolicy,
    StorageType,
    StreamConfig,
    StreamSource,
    SubjectTransform,
)

from leadplan_bus.connection import connect
from leadplan_bus.errors import IncompatibleStreamError, TopologyRefusedError
from leadplan_bus.topology import (
    Retention,
    ensure_consumer,
    ensure_topology,
    missing_subjects,
    monitor_runs_bucket,
    plan_data_bucket,
    plan_index_bucket,
    plan_log_stream,
    plan_rejects_stream,
    plans_stream,
    queue_consumers,
    stream_differences,
)

STREAMS = [plans_stream, plan_log_stream, plan_rejects_stream, plan_data_bucket, monitor_runs_bucket, plan_index_bucket]
OPERATORS_CHOICE: list[dict[str, Any]] = [
    {},
    {"max_age": 60.0},
    {"num_replicas": 3},
    {"max_bytes": 10**9},
    {"description": "ours"},
    {"duplicate_window": 5.0},
    {"metadata": {"team": "leads"}},
    {"allow_direct": True},
    {"allow_msg_ttl": True},
]
BREAKING: list[tuple[Any, dict[str, Any], str]] = [
    (plans_stream, {"subjects": ["plans.execute"]}, "subjects is ['plans.execute'], must be"),
    (plans_stream, {"subjects": None}, "subjects is [], must be"),
    (plans_stream, {"retention": RetentionPolicy.LIMITS}, "retention is 'limits', must be 'workqueue'"),
    (plans_stream, {"storage": StorageType.MEMORY}, "storage is 'memory', must be 'file'"),
    (plans_stream, {"allow_msg_schedules": None}, "allow_msg_schedules is False, must be True"),
    (plans_stream, {"allow_msg_ttl": False}, "allow_msg_ttl is False, must be True"),
    (plans_stream, {"no_ack": True}, "no_ack is True, must be False"),
    (plan_log_stream, {"republish": None}, "republish is None, must be ('plans.log.*', 'plans.events."),
    (
        plan_log_stream,
        {"republish": RePublish(src="plans.log.*", dest="other.>")},
        "republish is ('plans.log.*', 'other",
    ),
    (plan_log_stream, {"allow_direct": False}, "allow_direct is False, must be True"),
    (plan_log_stream, {"max_msgs_per_subject": 1}, "max_msgs_per_subject is 1, must be -1"),
    (plan_log_stream, {"sealed": True}, "sealed is True, must be False"),
    (plan_log_stream, {"mirror": StreamSource(name="OTHER")}, "mirror is False, must be True"),
    (
        plan_rejects_stream,
        {"subject_transform": SubjectTransform(src=">", dest="x.>")},
        "subject_transform is False, must be True",
    ),
    (plan_data_bucket, {"allow_rollup_hdrs": False}, "allow_rollup_hdrs is False, must be True"),
    (monitor_runs_bucket, {"max_msgs_per_subject": -1}, "max_msgs_per_subject is -1, must be 1"),
    (plan_index_bucket, {"allow_direct": False}, "allow_direct is False, must be True"),
]


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("change", OPERATORS_CHOICE, ids=str)
def test_what_the_operator_may_choose_is_no_difference(stream: Any, change: dict[str, Any]):
    wanted = stream(Retention())
    assert stream_differences(replace(wanted, **change), wanted) == []


@pytest.mark.parametrize(("stream", "change", "text"), BREAKING, ids=[text for _, _, text in BREAKING])
def test_what_breaks_the_contract_is_named_with_what_it_must_be(stream: Any, change: dict[str, Any], text: str):
    wanted = stream(Retention())
    (difference,) = stream_differences(replace(wanted, **change), wanted)
    assert difference.startswith(text)


def test_every_difference_is_listed():
    wanted = plan_log_stream(Retention())
    present = StreamConfig(name="PLAN_LOG", subjects=["a"], storage=StorageType.MEMORY, max_msgs_per_subject=5)
    fields = [difference.partition(" ")[0] for difference in stream_differences(present, wanted)]
    assert fields == ["subjects", "retention", "republish", "allow_direct", "storage", "max_msgs_per_subject"]


async def test_what_was_created_has_no_differences_and_is_found_again(nc: Client):
    js = nc.jetstream()
    retention = Retention(plans_seconds=100.0, plan_log_seconds=200.0)
    await ensure_topology(js, retention)
    await ensure_topology(js, Retention())
    for stream in STREAMS:
        wanted = stream(retention)
        assert stream_differences((await js.stream_info(str(wanted.name))).config, wanted) == []
    assert (await js.stream_info("PLAN_LOG")).config.max_age == 200.0, "an operator's limit is kept"
    bucket = await (await js.object_store("PLAN_DATA")).status()
    assert bucket.ttl == retention.data_seconds


async def test_many_processes_may_create_it_at_once(nats_url: str):
    connections = [await connect(nats_url, name=f"c{number}") for number in range(8)]
    # Two with other limits: the first one's stay.
    limits = [Retention(data_seconds=1000.0 + number % 2) for number in range(8)]
    await asyncio.gather(*(ensure_topology(nc.jetstream(), one) for nc, one in zip(connections, limits, strict=True)))
    for nc in connections:
        await nc.close()


async def test_a_bucket_of_another_shape_is_refused_and_left_alone(nc: Client):
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="OBJ_PLAN_DATA", subjects=["$O.PLAN_DATA.C.>", "$O.PLAN_DATA.M.>"]))
    with pytest.raises(IncompatibleStreamError, match=r"OBJ_PLAN_DATA .*allow_direct is False") as caught:
        await ensure_topology(js, Retention())
    assert caught.value.stream == "OBJ_PLAN_DATA"
    assert not (await js.stream_info("OBJ_PLAN_DATA")).config.allow_direct


async def test_buckets_made_with_the_client_library_will_do(nc: Client):
    await nc.jetstream().create_object_store("PLAN_DATA")
    await nc.jetstream().create_key_value(bucket="MONITOR_RUNS")
    await ensure_topology(nc.jetstream(), Retention())


# --- streams of an earlier version

OF_AN_EARLIER_VERSION = ["plans.execute", "plans.schedule.*"]
"""The subjects of ``PLANS`` in version 0.1."""


@pytest.mark.parametrize(
    ("present", "missing"),
    [
        (OF_AN_EARLIER_VERSION, ["plans.lane.*.*", "plans.timer.*", "plans.wake.*"]),
        (["plans.*"], []),
        ([*OF_AN_EARLIER_VERSION, "other"], []),
        (plans_stream(Retention()).subjects, []),
    ],
)
def test_subjects_are_missing_only_where_there_are_no_others(present: list[str], missing: list[str]):
    wanted = plans_stream(Retention())
    assert missing_subjects(replace(wanted, subjects=present), wanted) == missing


async def test_the_queue_of_an_earlier_version_gets_its_new_subjects_and_keeps_all_else(
    nc: Client, eventually: Callable[..., Awaitable[None]]
):
    """With plans in it, one of them held by an executor, and a schedule that fires later."""
    js = nc.jetstream()
    limits: dict[str, Any] = {"max_age": 1000.0, "max_bytes": 10**8, "metadata": {"team": "leads"}}
    await js.add_stream(replace(plans_stream(Retention()), subjects=OF_AN_EARLIER_VERSION, **limits))
    await js.add_consumer(
        "PLANS",
        ConsumerConfig(
            durable_name="executors", filter_subject="plans.execute", ack_policy=AckPolicy.EXPLICIT, ack_wait=60
        ),
    )
    for plan in ("held", "handed back", "waiting"):
        await js.publish("plans.execute", plan.encode())
    at = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    schedule = {"Nats-Schedule": f"@at {at}", "Nats-Schedule-Target": "plans.execute"}
    await js.publish("plans.schedule.m", b"fired", headers=schedule)
    puller = await js.pull_subscribe_bind(durable="executors", stream="PLANS")
    held, handed_back = await puller.fetch(2)

    assert "PLANS" not in await ensure_topology(js, Retention()), "it is no new one"
    for consumer in queue_consumers(lease_seconds=50, max_ack_pending=100):
        await ensure_consumer(js, consumer)

    config = (await js.stream_info("PLANS")).config
    assert stream_differences(config, plans_stream(Retention())) == []
    assert (config.max_age, config.max_bytes, (config.metadata or {})["team"]) == (1000.0, 10**8, "leads")
    await js.publish("plans.wake.p1", b"woken")
    await handed_back.nak()
    came: dict[bytes, int | None] = {}
    wakes = await js.pull_subscribe_bind(durable="wakes", stream="PLANS")
    for source in (wakes, puller, puller, puller):
        (message,) = await source.fetch(1, timeout=10)
        came[message.data] = message.metadata.num_delivered
        await message.ack_sync()
    assert came == {b"handed back": 2, b"waiting": 1, b"woken": 1, b"fired": 1}
    await held.ack_sync()

    async def is_empty() -> bool:
        return (await js.stream_info("PLANS")).state.messages == 0

    await eventually(is_empty, what="every message being off the queue")


async def test_an_earlier_queue_with_another_difference_is_left_alone(nc: Client):
    js = nc.jetstream()
    earlier = replace(plans_stream(Retention()), subjects=OF_AN_EARLIER_VERSION, retention=RetentionPolicy.LIMITS)
    await js.add_stream(earlier)
    with pytest.raises(IncompatibleStreamError) as caught:
        await ensure_topology(js, Retention())
    assert caught.value.differences == ["retention is 'limits', must be 'workqueue'"]
    assert (await js.stream_info("PLANS")).config.subjects == OF_AN_EARLIER_VERSION


async def test_a_subject_that_another_stream_has_is_an_error_that_names_the_stream(nc: Client):
    js = nc.jetstream()
    await js.add_stream(replace(plans_stream(Retention()), subjects=OF_AN_EARLIER_VERSION))
    await js.add_stream(StreamConfig(name="OTHER", subjects=["plans.wake.>"]))
    with pytest.raises(TopologyRefusedError, match="stream PLANS: subjects overlap with an existing stream"):
        await ensure_topology(js, Retention())


async def test_many_processes_may_upgrade_it_at_once(nats_url: str):
    connections = [await connect(nats_url, name=f"c{number}") for number in range(8)]
    js = connections[0].jetstream()
    await js.add_stream(replace(plans_stream(Retention()), subjects=OF_AN_EARLIER_VERSION))
    await asyncio.gather(*(ensure_topology(nc.jetstream(), Retention()) for nc in connections))
    assert stream_differences((await js.stream_info("PLANS")).config, plans_stream(Retention())) == []
    for nc in connections:
        await nc.close()
