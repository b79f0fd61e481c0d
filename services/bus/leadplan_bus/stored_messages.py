"""Reading stored messages of one subject by batched direct get (ADR-31): one request, no consumer to create."""

import json
from collections.abc import Mapping
from typing import NamedTuple

from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError

from leadplan_bus.errors import BusError

_SEQUENCE = "Nats-Sequence"
_BATCH = 1000
_MAX_BYTES = 8 * 1024 * 1024


class StoredMessage(NamedTuple):
    """A message of a stream."""

    stream_sequence: int
    body: bytes
    headers: dict[str, str]


async def read_subject(
    nc: Client, stream: str, subject: str, *, start_sequence: int = 1, timeout: float = 5.0
) -> list[StoredMessage]:
    """Every message on a subject from a stream sequence on, in order; an empty list when there is none.

    Any replica answers, so the newest messages can be missing for a moment: follow with a fenced write or the feed.

    Raises:
        nats.errors.TimeoutError: no answer within ``timeout`` seconds.
        BusError: the server refused the request.
    """
    found: list[StoredMessage] = []
    inbox = nc.new_inbox()
    subscription = await nc.subscribe(inbox)
    try:
        while True:
            request = {"batch": _BATCH, "max_bytes": _MAX_BYTES, "seq": start_sequence, "next_by_subj": subject}
            await nc.publish(f"$JS.API.DIRECT.GET.{stream}", json.dumps(request).encode(), reply=inbox)
            already = len(found)
            # The server adds the sequence to stored messages only; a status may also be a stored message's own header.
            while _SEQUENCE in (headers := (message := await subscription.next_msg(timeout)).headers or {}):
                found.append(StoredMessage(int(headers[_SEQUENCE]), message.data, headers))
            if not _more_follows(headers):
                return found
            if len(found) == already:
                raise BusError(f"direct get of {subject} says that more messages follow, and sends none")
            start_sequence = found[-1].stream_sequence + 1
    finally:
        if not nc.is_closed:
            await subscription.unsubscribe()


def _more_follows(headers: Mapping[str, str]) -> bool:
    status = headers.get("Status", "without a status")
    if status == "204":
        return int(headers.get("Nats-Num-Pending", "0")) > 0
    if status == "404":
        return False
    if status == "503":
        raise NatsTimeoutError  # no leader or no stream at the moment: the caller waits and asks again
    raise BusError(f"direct get refused: {status} {headers.get('Description', '')}")
