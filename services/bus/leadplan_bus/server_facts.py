"""What is known of a NATS server: its nodes, streams and consumer, as plain values.

``leadplan_bus.server_questions`` gathers them and ``leadplan_bus.server_checks`` judges them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from leadplan_contracts import subjects

TOOL_STREAMS = (f"KV_{subjects.TOOL_RESULTS_BUCKET}", f"KV_{subjects.TOOL_CHECKPOINTS_BUCKET}")
"""Streams that the first tool creates that needs them."""

NANOSECONDS = 1_000_000_000
"""A second, in the unit of JetStream's durations."""


class StreamConfigFacts(msgspec.Struct):
    """The fields of a stream's configuration that decide what it keeps; ages in nanoseconds, 0 or -1 for no limit."""

    storage: str = "file"
    num_replicas: int = 1
    retention: str = "limits"
    discard: str = "old"
    max_msgs: int = -1
    max_bytes: int = -1
    max_msg_size: int = -1
    max_age: int = 0
    persist_mode: str = "default"


class StreamState(msgspec.Struct):
    """What lies in a stream."""

    messages: int = 0
    bytes: int = 0
    last_seq: int = 0


class Replica(msgspec.Struct):
    """A follower of a stream's leader, as the leader sees it."""

    name: str = ""
    current: bool = False
    offline: bool = False


class StreamCluster(msgspec.Struct):
    """Where a stream lies."""

    leader: str = ""
    replicas: list[Replica] = msgspec.field(default_factory=list)


class StreamFacts(msgspec.Struct):
    """A stream as ``$JS.API.STREAM.INFO`` describes it."""

    config: StreamConfigFacts
    state: StreamState = msgspec.field(default_factory=StreamState)
    created: str = ""
    cluster: StreamCluster = msgspec.field(default_factory=StreamCluster)


class ConsumerConfigFacts(msgspec.Struct):
    """The fields of the executors' consumer that all executors share; durations in nanoseconds."""

    ack_wait: int = 30 * NANOSECONDS
    max_ack_pending: int = 1000


class ConsumerFacts(msgspec.Struct):
    """A consumer as ``$JS.API.CONSUMER.INFO`` describes it.

    ``num_ack_pending`` counts what is under way, ``num_pending`` what waits.
    """

    config: ConsumerConfigFacts
    num_ack_pending: int = 0
    num_pending: int = 0
    paused: bool = False


class ApiError(msgspec.Struct):
    """Why JetStream refused a request."""

    code: int = 0
    err_code: int = 0
    description: str = ""


class _Api(msgspec.Struct):
    level: int = 0


class _Limits(msgspec.Struct):
    max_storage: int = -1


class AccountFacts(msgspec.Struct):
    """What ``$JS.API.INFO`` tells: the API level, bytes stored, and how many may be."""

    api: _Api = msgspec.field(default_factory=_Api)
    storage: int = 0
    limits: _Limits = msgspec.field(default_factory=_Limits)


@dataclass(frozen=True, kw_only=True)
class ServerNode:
    """A node of the cluster, or the only one.

    ``clock_ahead_seconds`` is how far its clock is ahead of ours, true to ``clock_error_seconds``.
    """

    name: str
    version: str
    feature_flags: Mapping[str, bool] = field(default_factory=dict)
    clock_ahead_seconds: float = 0.0
    clock_error_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class SyncFacts:
    """When a server writes to disk what it has acknowledged: before (``always``), or within an interval."""

    always: bool
    interval_seconds: float


@dataclass(frozen=True, kw_only=True)
class ServerFacts:
    """Everything that could be learned; None, or nothing in a mapping, where it couldn't.

    Attributes:
        clustered: whether the server says that it is part of a cluster.
        max_payload: bytes.
        nodes: those that answered.
        account: JetStream as this account sees it.
        streams: by name; a stream that isn't there has None, one that couldn't be asked about isn't in the mapping.
        consumer: the executors' one.
        sync: read from the monitoring port.
        sync_problem: why it couldn't be read, where an address was given.
    """

    clustered: bool
    max_payload: int
    nodes: tuple[ServerNode, ...] = ()
    account: AccountFacts | None = None
    streams: Mapping[str, StreamFacts | None] = field(default_factory=dict)
    consumer: ConsumerFacts | None = None
    sync: SyncFacts | None = None
    sync_problem: str | None = None
