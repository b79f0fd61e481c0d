"""The streams and buckets that leadplan needs: their configuration, creation and check (protocol section 1)."""

import json
import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    RePublish,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import APIError, NotFoundError

from leadplan_bus.errors import IncompatibleStreamError, TopologyRefusedError
from leadplan_bus.leaders import START_UP_SECONDS, at_start_up
from leadplan_contracts import subjects

log = logging.getLogger(__name__)

DAY_SECONDS = 86_400.0
_TAKEOVERS_SECONDS = 3600.0
_NAME_IN_USE = 10058


@dataclass(frozen=True, kw_only=True)
class Retention:
    """How long things are kept, in seconds, and on how many servers.

    ``plan_log_seconds`` must be at least ``plans_seconds``: the log of a plan in the queue must not age out.
    """

    replicas: int = 1
    plans_seconds: float = 14 * DAY_SECONDS
    plan_log_seconds: float = 30 * DAY_SECONDS
    rejects_seconds: float = 30 * DAY_SECONDS
    data_seconds: float = 30 * DAY_SECONDS


def plans_stream(retention: Retention) -> StreamConfig:
    """The work queue: submitted plans, those that wait in lanes or are to be taken up again, and all schedules."""
    return StreamConfig(
        name=subjects.PLANS_STREAM,
        description="Plans to run or to take up again, and message schedules",
        subjects=[
            subjects.PLANS_EXECUTE,
            subjects.PLAN_SCHEDULE_ALL,
            subjects.PLAN_WAKE_ALL,
            subjects.PLAN_TIMER_ALL,
            subjects.PLAN_LANE_ALL,
        ],
        retention=RetentionPolicy.WORK_QUEUE,
        discard=DiscardPolicy.OLD,
        storage=StorageType.FILE,
        num_replicas=retention.replicas,
        max_age=retention.plans_seconds,
        allow_msg_schedules=True,
        allow_msg_ttl=True,
    )


def plan_log_stream(retention: Retention) -> StreamConfig:
    """The events of every plan, one subject a plan, republished to the live feed once stored."""
    return StreamConfig(
        name=subjects.PLAN_LOG_STREAM,
        description="Events of every plan, one subject a plan",
        subjects=[subjects.PLAN_LOG_ALL],
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.OLD,
        storage=StorageType.FILE,
        num_replicas=retention.replicas,
        max_age=retention.plan_log_seconds,
        allow_direct=True,
        republish=RePublish(src=subjects.PLAN_LOG_ALL, dest="plans.events.{{wildcard(1)}}"),
    )


def plan_rejects_stream(retention: Retention) -> StreamConfig:
    """Rejected submissions with their reasons."""
    return StreamConfig(
        name=subjects.PLAN_REJECTS_STREAM,
        description="Rejected submissions with their reasons",
        subjects=[subjects.PLAN_REJECTED_ALL],
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.OLD,
        storage=StorageType.FILE,
        num_replicas=retention.replicas,
        max_age=retention.rejects_seconds,
        allow_direct=True,
        republish=RePublish(src=subjects.PLAN_REJECTED_ALL, dest="plans.events.{{wildcard(1)}}"),
    )


def plan_data_bucket(retention: Retention) -> StreamConfig:
    """The object store for tool data too large for messages, as the stream that it is (ADR-20)."""
    bucket = subjects.PLAN_DATA_BUCKET
    return StreamConfig(
        name=f"OBJ_{bucket}",
        description="Tool data too large for messages",
        subjects=[f"$O.{bucket}.C.>", f"$O.{bucket}.M.>"],
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.NEW,
        storage=StorageType.FILE,
        num_replicas=retention.replicas,
        max_age=retention.data_seconds,
        allow_rollup_hdrs=True,
        allow_direct=True,
    )


def monitor_runs_bucket(retention: Retention) -> StreamConfig:
    """The key-value bucket that says which run of a recurring plan goes on.

    An entry must outlive the run that it names. No run outlives its message in ``PLANS``, and the log is kept longer.
    """
    return _bucket(
        subjects.MONITOR_RUNS_BUCKET,
        "Which run of a recurring plan goes on",
        retention.replicas,
        retention.plan_log_seconds,
        allow_msg_ttl=True,
    )


def plan_takeovers_bucket(retention: Retention) -> StreamConfig:
    """The key-value bucket that counts what became of a plan's deliveries.

    What crashes less often than once in an hour isn't counted together.
    """
    return _bucket(
        subjects.PLAN_TAKEOVERS_BUCKET,
        "Deliveries of plans that ended badly",
        retention.replicas,
        _TAKEOVERS_SECONDS,
        allow_msg_ttl=True,
    )


def plan_index_bucket(retention: Retention) -> StreamConfig:
    """The key-value bucket with a summary of each plan.

    A plan's entry is in the place of its last change: read backwards, the stream is a list of the latest plans. It is
    read by direct get, from any replica, for the log is what counts.
    """
    return _bucket(
        subjects.PLAN_INDEX_BUCKET,
        "A summary of each plan, for lists",
        retention.replicas,
        retention.plan_log_seconds,
        allow_direct=True,
    )


def _bucket(
    bucket: str,
    description: str,
    replicas: int,
    max_age: float,
    *,
    allow_direct: bool | None = None,
    allow_msg_ttl: bool | None = None,
) -> StreamConfig:
    """A key-value bucket with one revision a key, as the stream that it is (ADR-8).

    Without ``allow_direct`` reads are answered by the leader, never by a replica that lags behind.
    """
    return StreamConfig(
        name=f"KV_{bucket}",
        description=description,
        subjects=[f"$KV.{bucket}.>"],
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.NEW,
        storage=StorageType.FILE,
        num_replicas=replicas,
        max_age=max_age,
        max_msgs_per_subject=1,
        allow_rollup_hdrs=True,
        deny_delete=True,
        allow_direct=allow_direct,
        allow_msg_ttl=allow_msg_ttl,
    )


def executors_consumer(lease_seconds: float, max_ack_pending: int) -> ConsumerConfig:
    """The consumer that all executors pull from; its ack wait is the lease on a plan."""
    return ConsumerConfig(
        durable_name=subjects.EXECUTORS_CONSUMER,
        description="Executors; the ack wait is the lease on a plan",
        filter_subject=subjects.PLANS_EXECUTE,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=lease_seconds,
        max_deliver=-1,
        max_ack_pending=max_ack_pending,
    )


def wakes_consumer(lease_seconds: float, max_ack_pending: int) -> ConsumerConfig:
    """The consumer for plans that are to be taken up again: they wait behind no new ones."""
    config = executors_consumer(lease_seconds, max_ack_pending)
    config.durable_name, config.filter_subject = subjects.WAKES_CONSUMER, subjects.PLAN_WAKE_ALL
    config.description = "Plans to take up again; the ack wait is the lease on a plan"
    return config


def lane_consumer(lane: int, lease_seconds: float, max_ack_pending: int) -> ConsumerConfig:
    """The consumer for a lane, in which plans wait that an executor took out of the order they came in."""
    config = executors_consumer(lease_seconds, max_ack_pending)
    config.durable_name, config.filter_subject = subjects.lane_consumer(lane), subjects.plan_lane_subject(lane, "*")
    config.description = "Plans that wait for a slot; the ack wait is the lease on a plan"
    return config


def queue_consumers(lease_seconds: float, max_ack_pending: int) -> list[ConsumerConfig]:
    """All consumers of the work queue, that of new plans first; an executor pulls from each."""
    return [
        *(make(lease_seconds, max_ack_pending) for make in (executors_consumer, wakes_consumer)),
        *(lane_consumer(lane, lease_seconds, max_ack_pending) for lane in range(subjects.PLAN_LANES)),
    ]


STREAMS = (
    plans_stream,
    plan_log_stream,
    plan_rejects_stream,
    plan_data_bucket,
    monitor_runs_bucket,
    plan_takeovers_bucket,
    plan_index_bucket,
)
"""What makes the configuration of each stream."""


async def ensure_topology(
    js: JetStreamContext, retention: Retention, *, within_seconds: float = START_UP_SECONDS
) -> list[str]:
    """Create what is missing and check what is there; the names of the streams that were created.

    A stream that an earlier version made, with fewer subjects, is given the others; nothing else of it is changed.

    Args:
        js: the connection's JetStream.
        retention: for streams that are created.
        within_seconds: how long a cluster may take to elect its leaders.

    Raises:
        JetStreamDisabledError: the server has no JetStream.
        NoClusterLeaderError: the cluster has no leader.
        TooManyReplicasError: the server is no cluster, and several replicas are asked for.
        IncompatibleStreamError: a stream or bucket exists with another configuration; nothing is changed.
        TopologyRefusedError: the server won't create a stream, for another reason.
    """
    created: list[str] = []
    for stream in STREAMS:
        wanted = stream(retention)
        name = f"stream {wanted.name}"
        try:
            if await at_start_up(partial(_ensure_stream, js, wanted), name, retention.replicas, within_seconds):
                created.append(str(wanted.name))
        except APIError as error:
            raise TopologyRefusedError(name, _reason(error)) from error
    return created


async def ensure_consumer(
    js: JetStreamContext, wanted: ConsumerConfig, *, within_seconds: float = START_UP_SECONDS
) -> None:
    """Create a consumer that all executors share, or give it this configuration.

    Raises:
        JetStreamDisabledError: the server has no JetStream.
        NoClusterLeaderError: the cluster has no leader.
        TopologyRefusedError: one of that name is there that can't be changed so.
    """
    name = f"consumer {wanted.durable_name} on stream {subjects.PLANS_STREAM}"
    try:
        await at_start_up(partial(js.add_consumer, subjects.PLANS_STREAM, wanted), name, 1, within_seconds)
    except APIError as error:
        raise TopologyRefusedError(name, _reason(error)) from error


async def _ensure_stream(js: JetStreamContext, wanted: StreamConfig) -> bool:
    """Whether it was created."""
    name = str(wanted.name)
    try:
        present = (await js.stream_info(name)).config
    except NotFoundError:
        try:
            await js.add_stream(wanted)
        except APIError as error:
            if error.err_code != _NAME_IN_USE:
                raise
            # Another process created it at the same moment: what it made is checked like any other.
        else:
            return True
        present = (await js.stream_info(name)).config
    missing = missing_subjects(present, wanted)
    differences = stream_differences(replace(present, subjects=wanted.subjects) if missing else present, wanted)
    if differences:
        raise IncompatibleStreamError(name, differences)
    if missing:
        await _add_subjects(js, name, missing)
    return False


def missing_subjects(present: StreamConfig, wanted: StreamConfig) -> list[str]:
    """The subjects that a stream lacks, where it has no others than it should; else none."""
    has, must_have = set(present.subjects or []), set(wanted.subjects or [])
    return sorted(must_have - has) if has < must_have else []


async def _add_subjects(js: JetStreamContext, name: str, missing: list[str]) -> None:
    # As the server tells it and not as nats-py reads it, which drops fields that it doesn't know.
    config = (await js._api_request(f"{js._prefix}.STREAM.INFO.{name}"))["config"]
    config["subjects"] = sorted({*config.get("subjects", []), *missing})
    await js._api_request(f"{js._prefix}.STREAM.UPDATE.{name}", json.dumps(config).encode())
    log.warning("stream %s: added the subjects %s", name, ", ".join(missing))


def _reason(error: APIError) -> str:
    return f"{error.description} ({error.err_code or error.code})"


def stream_differences(present: StreamConfig, wanted: StreamConfig) -> list[str]:
    """The fields whose values would break the contract; limits and replicas are the operator's to choose."""
    checks: list[tuple[str, Any, Any]] = [
        ("subjects", sorted(present.subjects or []), sorted(wanted.subjects or [])),
        ("retention", _plain(present.retention), _plain(wanted.retention)),
        ("republish", _route(present.republish), _route(wanted.republish)),
        ("allow_direct", bool(present.allow_direct) or not wanted.allow_direct, True),
        ("allow_rollup_hdrs", bool(present.allow_rollup_hdrs) or not wanted.allow_rollup_hdrs, True),
        ("allow_msg_schedules", bool(present.allow_msg_schedules) or not wanted.allow_msg_schedules, True),
        ("allow_msg_ttl", bool(present.allow_msg_ttl) or not wanted.allow_msg_ttl, True),
        ("storage", _plain(present.storage), _plain(wanted.storage)),
        ("sealed", bool(present.sealed), False),
        ("no_ack", bool(present.no_ack), False),
        ("max_msgs_per_subject", present.max_msgs_per_subject, wanted.max_msgs_per_subject),
        ("mirror", present.mirror is None, True),
        ("subject_transform", present.subject_transform is None, True),
    ]
    return [f"{field} is {is_now!r}, must be {must_be!r}" for field, is_now, must_be in checks if is_now != must_be]


def _plain(value: Any) -> str:
    return str(getattr(value, "value", value))


def _route(republish: RePublish | None) -> tuple[str | None, str | None] | None:
    return (republish.src, republish.dest) if republish else None
