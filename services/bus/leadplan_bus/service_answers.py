"""Asking every micro service at once (ADR-32): one question on ``$SRV.…``, and answers for as long as they come."""

import time

import msgspec
from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding an answer can raise: it comes from anywhere, and may be no service's at all."""

_LONGEST_TEXT = 500


async def ask_services(nc: Client, subject: str, *, longest: float = 1.0, silence: float = 0.2) -> list[bytes]:
    """Ask on ``$SRV.PING``, ``$SRV.INFO``, ``$SRV.STATS`` or a service's own such subject, and collect the answers.

    Nobody says how many answers there will be, so the end is a silence. Whoever is slower than that is missing.

    Args:
        nc: the connection.
        subject: where to ask.
        longest: seconds to wait in all.
        silence: seconds without a further answer after which no more are expected.

    Raises:
        nats.errors.Error: the question couldn't be sent.
    """
    answers: list[bytes] = []
    inbox = nc.new_inbox()
    subscription = await nc.subscribe(inbox)
    # Not `asyncio.timeout` around it: where answers keep coming, Python 3.11's `wait_for` can lose the cancellation.
    ends_at = time.monotonic() + longest
    try:
        await nc.publish(subject, reply=inbox)
        while (seconds_left := ends_at - time.monotonic()) > 0:
            answers.append((await subscription.next_msg(min(silence, seconds_left))).data)
    except NatsTimeoutError:
        return answers
    finally:
        if not nc.is_closed:
            await subscription.unsubscribe()
    return answers


def printable(text: str) -> str:
    """A text from outside, fit for a terminal and a log: on one line, without control characters, and not endless."""
    return "".join(char if char.isprintable() else " " for char in text[:_LONGEST_TEXT]).strip()
