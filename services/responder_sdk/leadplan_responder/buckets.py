"""The key-value buckets in which responders keep what must outlive a process, and the digests under which it lies."""

from functools import partial
from typing import Any, Final

import msgspec
from nats.js import JetStreamContext
from nats.js.errors import BucketNotFoundError
from nats.js.kv import KeyValue

from leadplan_bus.leaders import at_start_up

_canonical: Final = msgspec.json.Encoder(order="sorted")


async def find_bucket(js: JetStreamContext, bucket: str, *, within_seconds: float = 0.0) -> KeyValue | None:
    """The bucket; None where nobody has created it yet.

    Args:
        js: the connection's JetStream.
        bucket: its name.
        within_seconds: how long to wait for a cluster that has no leader.

    Raises:
        leadplan_bus.errors.JetStreamDisabledError: the server has no JetStream.
        leadplan_bus.errors.NoClusterLeaderError: the cluster has no leader, or doesn't answer.
        nats.errors.Error: the server refuses.
    """
    try:
        return await at_start_up(lambda: js.key_value(bucket), f"bucket {bucket}", 1, within_seconds)
    except BucketNotFoundError:
        return None


async def open_bucket(
    js: JetStreamContext,
    bucket: str,
    *,
    description: str,
    max_age_seconds: float,
    replicas: int,
    direct: bool = False,
    within_seconds: float = 0.0,
) -> KeyValue:
    """The bucket as it is, or created; age and replicas of one that exists are the operator's choice.

    Args:
        js: the connection's JetStream.
        bucket: its name.
        description: for people who list buckets.
        max_age_seconds: how long a value is kept.
        replicas: on how many nodes of the cluster.
        direct: any replica may answer reads, so one may miss what was just written; needed for batched reads.
        within_seconds: how long to wait for a cluster that has no leader.

    Raises:
        leadplan_bus.errors.JetStreamDisabledError: the server has no JetStream.
        leadplan_bus.errors.NoClusterLeaderError: the cluster has no leader, or doesn't answer.
        leadplan_bus.errors.TooManyReplicasError: the server is no cluster.
        nats.errors.Error: the server refuses.
    """
    if (present := await find_bucket(js, bucket, within_seconds=within_seconds)) is not None:
        return present
    create = partial(
        js.create_key_value,
        bucket=bucket,
        description=description,
        ttl=max_age_seconds,
        replicas=replicas,
        direct=direct or None,
    )
    return await at_start_up(create, f"bucket {bucket}", replicas, within_seconds)


def canonical_json(value: Any) -> bytes:
    """Equal JSON values as equal texts, whatever the order of their keys: for digests."""
    return _canonical.encode(value)
