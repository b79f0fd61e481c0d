"""The key-value buckets in which responders keep what must outlive a process, and the digests under which it lies."""

from typing import Any, Final

import msgspec
from nats.errors import NoRespondersError
from nats.js import JetStreamContext
from nats.js.errors import BucketNotFoundError, ServiceUnavailableError
from nats.js.kv import KeyValue

from leadplan_bus.errors import JetStreamDisabledError

_canonical: Final = msgspec.json.Encoder(order="sorted")


async def find_bucket(js: JetStreamContext, bucket: str) -> KeyValue | None:
    """The bucket; None where nobody has created it yet.

    Raises:
        leadplan_bus.errors.JetStreamDisabledError: the server has no JetStream.
        nats.errors.Error: the server refuses, or doesn't answer.
    """
    try:
        return await js.key_value(bucket)
    except BucketNotFoundError:
        return None
    except (ServiceUnavailableError, NoRespondersError) as error:
        raise JetStreamDisabledError from error


async def open_bucket(
    js: JetStreamContext, bucket: str, *, description: str, max_age_seconds: float, direct: bool = False
) -> KeyValue:
    """The bucket as it is, or created with one replica; age and replicas of one that exists are the operator's choice.

    Args:
        js: the connection's JetStream.
        bucket: its name.
        description: for people who list buckets.
        max_age_seconds: how long a value is kept.
        direct: any replica may answer reads, so one may miss what was just written; needed for batched reads.

    Raises:
        leadplan_bus.errors.JetStreamDisabledError: the server has no JetStream.
        nats.errors.Error: the server refuses, or doesn't answer.
    """
    if (present := await find_bucket(js, bucket)) is not None:
        return present
    try:
        return await js.create_key_value(
            bucket=bucket, description=description, ttl=max_age_seconds, direct=direct or None
        )
    except (ServiceUnavailableError, NoRespondersError) as error:
        raise JetStreamDisabledError from error


def canonical_json(value: Any) -> bytes:
    """Equal JSON values as equal texts, whatever the order of their keys: for digests."""
    return _canonical.encode(value)
