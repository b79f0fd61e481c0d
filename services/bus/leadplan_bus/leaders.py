"""Waiting for a leader: a cluster that lost a node needs some seconds to elect new ones, and does nothing meanwhile."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.errors import APIError, NoStreamResponseError, ServiceUnavailableError

from leadplan_bus.errors import JetStreamDisabledError, NoClusterLeaderError, TooManyReplicasError

log = logging.getLogger(__name__)

ELECTION_SECONDS: Final = 15.0
"""An election was seen to take 4 to 10 s after a leader was killed."""
START_UP_SECONDS: Final = 30.0
"""How long a program that starts waits for the cluster: its nodes may be starting as well."""

JETSTREAM_OFF: Final = frozenset({10039, 10076})
_NOT_CLUSTERED = 10074
_NO_PEERS = 10005
"""Not enough nodes for the replicas: the others may not have joined yet."""
_ASK_AGAIN_SECONDS = 0.25

T = TypeVar("T")


def is_jetstream_off(error: Exception) -> bool:
    """Whether the server, or the account, has no JetStream at all."""
    # Without a code it is the 503 of core NATS: nobody listens on the JetStream API.
    return isinstance(error, ServiceUnavailableError) and (error.err_code is None or error.err_code in JETSTREAM_OFF)


def is_without_leader(error: Exception) -> bool:
    """Whether an error is what JetStream answers, or doesn't answer, while there is no leader; waiting may help."""
    if isinstance(error, NatsTimeoutError | NoRespondersError | NoStreamResponseError):
        return True
    if isinstance(error, ServiceUnavailableError):
        return not is_jetstream_off(error)
    return isinstance(error, APIError) and error.err_code == _NO_PEERS


async def until_led(ask: Callable[[], Awaitable[T]], what: str, *, within_seconds: float = ELECTION_SECONDS) -> T:
    """Ask again until somebody leads. What is asked must be harmless to repeat, for an answer may be lost.

    Args:
        ask: asks once.
        what: for the log: what is waited for.
        within_seconds: how long to wait; a request that is under way then is still waited for.

    Raises:
        nats.errors.Error: another error at once, or the last one when the time is over.
    """
    ends_at = time.monotonic() + within_seconds
    told = False
    while True:
        try:
            return await ask()
        except NatsError as error:
            if not is_without_leader(error) or time.monotonic() >= ends_at:
                raise
            if not told:
                log.warning("%s: waiting for a leader of the cluster: %s", what, str(error) or type(error).__name__)
            told = True
        await asyncio.sleep(_ASK_AGAIN_SECONDS)


async def at_start_up(ask: Callable[[], Awaitable[T]], what: str, replicas: int, within_seconds: float) -> T:
    """Like ``until_led``, for what a program can't begin without: the errors tell an operator what to do.

    Raises:
        JetStreamDisabledError: the server has no JetStream.
        NoClusterLeaderError: the cluster had no leader all the time.
        TooManyReplicasError: the server is no cluster, and ``replicas`` is more than one.
        nats.errors.Error: the server refused for another reason.
    """
    try:
        return await until_led(ask, what, within_seconds=within_seconds)
    except NatsError as error:
        if is_jetstream_off(error):
            raise JetStreamDisabledError from error
        if isinstance(error, APIError) and error.err_code == _NOT_CLUSTERED:
            raise TooManyReplicasError(replicas) from error
        if is_without_leader(error):
            reason = (error.description if isinstance(error, APIError) else None) or str(error)
            raise NoClusterLeaderError(within_seconds, reason or type(error).__name__) from error
        raise
