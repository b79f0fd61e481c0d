"""Streams and buckets: created when missing, checked when there, and never changed."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js.api import RePublish, RetentionPolicy, StorageType, StreamConfig, StreamSource, SubjectTransform

from leadplan_bus.connection import connect
from leadplan_bus.errors import IncompatibleStreamError
from leadplan_bus.topology import (
    Retention,
    ensure_topology,
    monitor_runs_bucket,
    plan_data_bucket,
    plan_log_stream,
    plan_rejects_stream,
    plans_stream,
    stream_differences,
)

STREAMS = [plans_stream, plan_log_stream, plan_rejects_stream, plan_data_bucket, monitor_runs_bucket]
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
