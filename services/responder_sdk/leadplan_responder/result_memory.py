"""Doing an effect once: what became of each idempotency key, shared by all replicas of a tool, across restarts.

Under each key stands one record in the bucket ``TOOL_RESULTS``, changed only by compare-and-set:

    (nothing) --claim--> Running --remember--> Done        the reply is given to every later request
                            |----put back----> (nothing)   the handler said that it did nothing: it may run again
                            |----doubt-------> InDoubt     the handler broke off: nobody knows how far it came
    InDoubt, or Running whose owner is gone --take over--> Running
    Done, a failure of an earlier round     --take over--> Running

Whoever claims a key runs the handler; others are told that it runs elsewhere. An owner is gone when nobody answers for
its instance any more (``$SRV.PING.<service>.<instance>``); one that only doesn't answer in time counts as alive.

A record says in which round of the plan it was written; one without that, as older versions wrote it, is of round 1. A
success counts in every round. A failure counts in its own: a person who has a plan run again wants it tried again. What
comes late, of a round before the record's, finds the later round at work and changes nothing.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeAlias, TypeVar

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError, NoStreamResponseError, NotFoundError
from nats.js.kv import KeyValue

from leadplan_bus.leaders import ELECTION_SECONDS, START_UP_SECONDS
from leadplan_bus.tokens import new_token
from leadplan_contracts import LeadToolExecutionResult, ToolRequest
from leadplan_contracts.subjects import TOOL_RESULTS_BUCKET
from leadplan_contracts.wire import encode
from leadplan_responder.buckets import canonical_json, open_bucket
from leadplan_responder.execution import work_was_done

log = logging.getLogger("leadplan.responder")

DEFAULT_MAX_AGE_SECONDS = 30 * 86_400.0
_PING_SECONDS = 1.0
_ANSWER_SECONDS = 2.0
_PATIENCE_SECONDS = ELECTION_SECONDS
_WAIT_SECONDS = 0.2
_IN_FLIGHT = "wrong last sequence"
"""How the server refuses a write while another one to the same key is on its way through the cluster (10164). A refusal
for good (10071) names the sequence behind these words. nats-py keeps the words only."""

T = TypeVar("T")


class Running(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="state", tag="running"):
    """A handler works on the key; ``claim`` tells one attempt to claim it from another."""

    service: str
    instance: str
    claim: str
    params: str
    round: int = 1


class InDoubt(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="state", tag="in_doubt"):
    """A handler broke off while it worked on the key."""

    params: str
    round: int = 1


class Done(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="state", tag="done"):
    """The reply that every further request with the key gets; a failure only until another round begins."""

    reply: LeadToolExecutionResult
    params: str
    round: int = 1

    def counts_in(self, later: int) -> bool:
        """Whether a request of this or a later round gets the reply."""
        return self.reply.success or self.round >= later


Record: TypeAlias = Running | InDoubt | Done
_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


class Doubtful(NamedTuple):
    """The key is in doubt: ``take_over`` claims it."""

    key: str
    revision: int
    record: InDoubt


class FailedBefore(NamedTuple):
    """An earlier round of the plan failed for good: ``take_over`` claims the key for this one."""

    key: str
    revision: int
    record: Done


class Claimed(NamedTuple):
    """The key is ours: run the handler, then settle the claim.

    ``replaced`` is what stood under the key before, None where nothing did.
    """

    key: str
    revision: int
    params: str
    round: int = 1
    replaced: InDoubt | Done | None = None


class Remembered(NamedTuple):
    """The work was done before; this was the reply."""

    reply: LeadToolExecutionResult


class Elsewhere(NamedTuple):
    """A handler works on the key at this moment."""


class OtherParams(NamedTuple):
    """The key was used before with other params."""


Claim: TypeAlias = Claimed | Doubtful | FailedBefore | Remembered | Elsewhere | OtherParams


class MemoryUnavailableError(Exception):
    """The bucket can't be read or written at the moment; nothing was run."""


class ResultMemory:
    """The records of one responder instance.

    Args:
        nc: the connection.
        service, instance: name and id of the micro service, under which others ask whether we live.
        max_age_seconds: how long a result is remembered; longer than any plan may take.
        replicas: on how many nodes of a cluster. Both count when the bucket is created.
    """

    def __init__(
        self,
        nc: Client,
        *,
        service: str,
        instance: str,
        max_age_seconds: float = DEFAULT_MAX_AGE_SECONDS,
        replicas: int = 1,
    ) -> None:
        self._nc = nc
        self._js = nc.jetstream(timeout=_ANSWER_SECONDS)
        self._service = service
        self._instance = instance
        self._max_age_seconds = max_age_seconds
        self._replicas = replicas
        self._bucket: KeyValue | None = None
        self._ours: set[str] = set()

    async def open(self) -> None:
        """Create the bucket where it is missing. A cluster that has no leader yet is waited for.

        Raises:
            leadplan_bus.errors.BusError: the server has no JetStream, no leader, or fewer nodes than replicas.
            nats.errors.Error: the server refuses.
        """
        self._bucket = await open_bucket(
            self._js,
            TOOL_RESULTS_BUCKET,
            description="Results of tools by idempotency key",
            max_age_seconds=self._max_age_seconds,
            replicas=self._replicas,
            within_seconds=START_UP_SECONDS,
        )

    async def claim(self, request: ToolRequest) -> Claim:
        """Claim a request's idempotency key for this instance, or learn why that can't be.

        Raises:
            MemoryUnavailableError: the server doesn't answer.
        """
        key, record = record_key(request), self._running(request)
        ends_at = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                revision = await self._kv.create(key, encode(record))
                return self._claimed(key, revision, record)
            except NatsError as error:
                refusal = error  # taken, or nobody knows whether it was stored: the record itself tells
            claim = await self._read(key, record)
            if claim is not None:
                return claim
            await self._wait(ends_at, refusal)

    async def take_over(self, found: Doubtful | FailedBefore, request: ToolRequest) -> Claim:
        """Claim the key of a request that is in doubt, or that an earlier round left as failed.

        Of several replicas only one can; the others learn what stands there since.

        Raises:
            MemoryUnavailableError: the server doesn't answer.
        """
        record = self._running(request)
        ends_at = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                revision = await self._kv.update(found.key, encode(record), last=found.revision)
                return self._claimed(found.key, revision, record, replaced=found.record)
            except NatsError as error:
                refusal = error
            claim = await self._read(found.key, record)
            if isinstance(claim, Claimed):
                return claim._replace(replaced=found.record)
            if claim is not None and not _is_as_found(claim, found):
                return claim
            await self._wait(ends_at, refusal)

    async def remember(self, claimed: Claimed, reply: LeadToolExecutionResult) -> None:
        """The work is done: give this reply to every further request with the key."""
        await self._store(claimed, Done(reply, claimed.params, claimed.round))

    async def put_back(self, claimed: Claimed) -> None:
        """The handler did nothing: all is as it was before the claim, and the next request may run it."""
        if claimed.replaced is not None:
            await self._store(claimed, claimed.replaced)
        else:
            await self._settle(claimed, lambda: self._kv.delete(claimed.key, last=claimed.revision))

    async def doubt(self, claimed: Claimed) -> None:
        """The handler broke off: the next request has to deal with that."""
        await self._store(claimed, InDoubt(claimed.params, claimed.round))

    async def _store(self, claimed: Claimed, record: Record) -> None:
        text = encode(record)
        await self._settle(claimed, lambda: self._kv.update(claimed.key, text, last=claimed.revision))

    async def _settle(self, claimed: Claimed, store: Callable[[], Awaitable[T]]) -> None:
        """Store how a claim ended. Where that fails the record stays ``Running``, and is in doubt once we are gone."""
        ends_at = time.monotonic() + _PATIENCE_SECONDS
        try:
            while True:
                try:
                    await store()
                except KeyWrongLastSequenceError as error:
                    if error.description != _IN_FLIGHT:
                        return  # stored by a try whose answer was lost, or taken over: the newer record counts
                    refusal: NatsError = error
                except NatsError as error:
                    log.warning("a result isn't remembered yet: %r", error, extra={"key": claimed.key})
                    refusal = error
                else:
                    return
                await self._wait(ends_at, refusal)
        except MemoryUnavailableError:
            log.error("a result couldn't be remembered: its key is in doubt", extra={"key": claimed.key})
        finally:
            self._ours.discard(claimed.key)

    async def _wait(self, ends_at: float, refusal: NatsError) -> None:
        """Wait until the bucket may answer: a cluster that elects a leader needs some seconds.

        Raises:
            MemoryUnavailableError: the time is over, or the bucket is gone.
        """
        if time.monotonic() >= ends_at:
            raise MemoryUnavailableError(f"bucket {TOOL_RESULTS_BUCKET} doesn't answer") from refusal
        if isinstance(refusal, NoStreamResponseError) and await self._is_gone():
            raise MemoryUnavailableError(f"bucket {TOOL_RESULTS_BUCKET} is gone: start the tool again") from refusal
        await asyncio.sleep(_WAIT_SECONDS)

    async def _is_gone(self) -> bool:
        try:
            await self._kv.status()
        except NotFoundError:
            return True
        except NatsError:
            pass
        return False

    async def _read(self, key: str, ours: Running) -> Claim | None:
        """What the record under a key means for somebody who tried to store ``ours``; None to try again."""
        try:
            entry = await self._kv.get(key)
            record = _decoder.decode(entry.value or b"")
        except (KeyNotFoundError, NatsError):
            return None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise MemoryUnavailableError(
                f"the record {key} in bucket {TOOL_RESULTS_BUCKET} can't be read: {error}"
            ) from error
        if record.params != ours.params:
            return OtherParams()
        return await self._meaning_of(record, key, entry.revision or 0, ours)

    async def _meaning_of(self, record: Record, key: str, revision: int, ours: Running) -> Claim:
        doubtful = Doubtful(key, revision, InDoubt(record.params, record.round))
        match record:
            case Done(reply=reply) if record.counts_in(ours.round):
                return Remembered(reply)
            case Done(reply=reply):
                return doubtful if work_was_done(reply) else FailedBefore(key, revision, record)
            case Running(claim=claim) if claim == ours.claim:
                return self._claimed(key, revision, ours)
            case _ if record.round > ours.round:
                return Elsewhere()
            case Running() if await self._owner_lives(key, record):
                return Elsewhere()
            case _:
                return doubtful

    async def _owner_lives(self, key: str, record: Running) -> bool:
        if record.instance == self._instance:
            return key in self._ours
        try:
            await self._nc.request(f"$SRV.PING.{record.service}.{record.instance}", timeout=_PING_SECONDS)
        except NoRespondersError:
            return False
        except NatsError:
            return True  # silent isn't gone: it may only be slow
        return True

    def _running(self, request: ToolRequest) -> Running:
        return Running(
            service=self._service,
            instance=self._instance,
            claim=new_token(),
            params=_digest(canonical_json(request.params)),
            round=request.round or 1,
        )

    def _claimed(self, key: str, revision: int, ours: Running, replaced: InDoubt | Done | None = None) -> Claimed:
        self._ours.add(key)
        return Claimed(key, revision, ours.params, ours.round, replaced)

    @property
    def _kv(self) -> KeyValue:
        if self._bucket is None:
            raise MemoryUnavailableError(f"bucket {TOOL_RESULTS_BUCKET} isn't open")
        return self._bucket


def _is_as_found(claim: Claim, found: Doubtful | FailedBefore) -> bool:
    return isinstance(claim, Doubtful | FailedBefore) and claim.revision == found.revision


def record_key(request: ToolRequest) -> str:
    """Where the record of a request lies: tool and a digest of the idempotency key, which may hold any characters."""
    return f"{request.tool}.{_digest(request.idempotency_key.encode())}"


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
