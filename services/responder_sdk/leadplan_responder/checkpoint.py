"""Finished work of a step that outlives its attempt: a crash, a failure, another replica taking over.

Each item is one message in the key-value bucket ``TOOL_CHECKPOINTS``, under

    <digest of the idempotency key>.<digest of the params>.<digest of the item's name>

so that no name, which may be somebody's address, stands in a subject; item and value stand in the message. The bucket
is created by the first item ever kept. Without it, or without JetStream, a step goes on as if it had kept nothing.
"""

import logging
import time
from collections.abc import Awaitable, Iterable
from functools import partial
from hashlib import blake2b
from typing import Any, Final, Protocol, TypeVar

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.kv import KeyValue

from leadplan_bus.errors import BusError
from leadplan_bus.leaders import until_led
from leadplan_bus.limits import fits
from leadplan_bus.stored_messages import read_subject
from leadplan_contracts import ToolRequest
from leadplan_contracts.subjects import TOOL_CHECKPOINTS_BUCKET
from leadplan_contracts.wire import encode
from leadplan_responder import payloads
from leadplan_responder.buckets import canonical_json, find_bucket, open_bucket

DEFAULT_MAX_AGE_SECONDS: Final = 7 * 86_400.0
_ANSWER_SECONDS = 2.0
_PAUSE_SECONDS = 10.0

_STREAM = f"KV_{TOOL_CHECKPOINTS_BUCKET}"
_SUBJECTS = f"$KV.{TOOL_CHECKPOINTS_BUCKET}"

log = logging.getLogger("leadplan.responder")

T = TypeVar("T")


class CheckpointUnavailableError(Exception):
    """Items can't be stored or read at the moment."""


class ItemTooLargeError(Exception):
    """An item doesn't fit into a message; the text says how large it is."""


class Item(msgspec.Struct, frozen=True):
    """What is stored of an item."""

    item: str
    value: msgspec.Raw


_decoder = msgspec.json.Decoder(Item)


class StepItems(Protocol):
    """Where the items of one step lie, each as the JSON text of an `Item`."""

    async def read(self) -> Iterable[bytes]:
        """All of them; the newest last where one was stored several times.

        Raises:
            CheckpointUnavailableError: they can't be read.
        """
        ...

    async def write(self, item: str, text: bytes) -> None:
        """Store one, in place of an earlier one of the same name.

        Raises:
            CheckpointUnavailableError: it can't be stored.
            ItemTooLargeError: it is too large to be stored.
        """
        ...


class Checkpoint:
    """What earlier attempts of a step finished, and what this one finishes: ``ctx.checkpoint``.

    Items belong to the step's idempotency key and its params. They are deleted when the step has succeeded. After any
    other end they stay, for its plan may be retried, and age out. Neither method fails for want of a store: the step
    then only repeats more work.

    Attributes:
        used: whether the handler has asked for it so far.
    """

    def __init__(self, items: StepItems, step_log: logging.LoggerAdapter[logging.Logger]) -> None:
        self.used = False
        self._items = items
        self._log = step_log
        self._told = False
        self._paused_until = 0.0

    async def load(self, model: type[T]) -> dict[str, T]:
        """The items that earlier attempts of this step kept, by name; empty on the first attempt.

        Args:
            model: what the values are: a msgspec Struct, a pydantic model, or a type of JSON values. Items that don't
                fit it are left out, as those of an older version of the tool may.
        """
        self.used = True
        texts = await self._unless_unavailable(self._items.read())
        loaded: dict[str, T] = {}
        for text in texts or ():
            try:
                kept = _decoder.decode(text)
                loaded[kept.item] = payloads.decode(kept.value, model)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, payloads.InvalidPayloadError):
                # Neither the error's text nor the name is told: both may hold what nobody should see.
                self._log.warning("an item of the checkpoint doesn't fit what the tool reads, and is left out")
        return loaded

    async def keep(self, item: str, value: Any) -> None:
        """Keep one finished item, in place of an earlier one of the same name. What can't be stored is logged.

        Args:
            item: its name within the step, such as the domain that was searched.
            value: a msgspec Struct, a pydantic model or JSON values; it must fit into a message (1 MB by default).
        """
        self.used = True
        try:
            text = encode(Item(item, payloads.encode(value)))
        except Exception as error:  # whatever a model's own serialiser raises; its text may hold the value
            self._log.error("an item isn't kept: JSON has no form for it", extra={"problem": type(error).__name__})
            return
        if time.monotonic() < self._paused_until:
            return
        try:
            await self._unless_unavailable(self._items.write(item, text))
        except ItemTooLargeError as error:
            self._log.warning("an item isn't kept: %s", error)

    async def _unless_unavailable(self, access: Awaitable[T]) -> T | None:
        try:
            return await access
        except CheckpointUnavailableError as error:
            self._paused_until = time.monotonic() + _PAUSE_SECONDS  # or each item would wait for the server
            if not self._told:
                self._log.warning("the step goes on without its checkpoint: %s", error)
            self._told = True
            return None


class CheckpointBucket:
    """The bucket ``TOOL_CHECKPOINTS``, as one responder uses it. It asks nothing of the server until an item does.

    Args:
        nc: the connection.
        max_age_seconds: how long items are kept that nobody deletes.
        replicas: on how many nodes of a cluster. Both count when the bucket is created.
    """

    def __init__(self, nc: Client, max_age_seconds: float = DEFAULT_MAX_AGE_SECONDS, *, replicas: int = 1) -> None:
        self._nc = nc
        self._js = nc.jetstream(timeout=_ANSWER_SECONDS)
        self._max_age_seconds = max_age_seconds
        self._replicas = replicas
        self._bucket: KeyValue | None = None

    def items_of(self, request: ToolRequest) -> StepItems:
        """The items of a request's step."""
        step, params = _digest(request.idempotency_key.encode()), _digest(canonical_json(request.params))
        return _ItemsInBucket(self, f"{step}.{params}")

    async def delete(self, idempotency_key: str) -> None:
        """Delete what a step kept, whatever its params; what can't be deleted ages out. It never fails.

        It does nothing where this responder has seen no bucket.
        """
        if self._bucket is None:
            return
        try:
            await self._js.purge_stream(_STREAM, subject=f"{_SUBJECTS}.{_digest(idempotency_key.encode())}.>")
        except NatsError as error:
            log.warning("a checkpoint isn't deleted and will age out: %r", error)

    async def read(self, prefix: str) -> list[bytes]:
        """The values of all keys behind a prefix, in the order in which they were stored.

        Raises:
            CheckpointUnavailableError: the server refuses, or doesn't answer.
        """
        try:
            self._bucket = self._bucket or await find_bucket(self._js, TOOL_CHECKPOINTS_BUCKET)
            if self._bucket is None:
                return []
            stored = await read_subject(self._nc, _STREAM, f"{_SUBJECTS}.{prefix}.*", timeout=_ANSWER_SECONDS)
        except (NatsError, BusError) as error:
            raise self._unavailable(error) from error
        return [message.body for message in stored]

    async def write(self, key: str, text: bytes) -> None:
        """Store a value under a key; the first one creates the bucket.

        Raises:
            CheckpointUnavailableError: the server refuses, or doesn't answer.
            ItemTooLargeError: the server takes no message as large as that.
        """
        if not fits(self._nc, text, None):
            raise ItemTooLargeError(f"it has {len(text)} bytes, and the server takes {self._nc.max_payload}")
        try:
            patience = 0.0 if self._bucket else _ANSWER_SECONDS  # a bucket that was just created has no leader yet
            self._bucket = self._bucket or await self._open()
            put = partial(self._bucket.put, key, text)
            await until_led(put, f"bucket {TOOL_CHECKPOINTS_BUCKET}", within_seconds=patience)
        except (NatsError, BusError) as error:
            raise self._unavailable(error) from error

    async def _open(self) -> KeyValue:
        return await open_bucket(
            self._js,
            TOOL_CHECKPOINTS_BUCKET,
            description="Finished work of steps that are still to succeed",
            max_age_seconds=self._max_age_seconds,
            replicas=self._replicas,
            direct=True,
        )

    def _unavailable(self, error: Exception) -> CheckpointUnavailableError:
        self._bucket = None  # it may have been removed: looked for, or created, anew
        return CheckpointUnavailableError(str(error) or type(error).__name__)


class _ItemsInBucket:
    """The items of one step in the bucket."""

    def __init__(self, bucket: CheckpointBucket, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = prefix

    async def read(self) -> list[bytes]:
        return await self._bucket.read(self._prefix)

    async def write(self, item: str, text: bytes) -> None:
        await self._bucket.write(f"{self._prefix}.{_digest(item.encode())}", text)


def _digest(text: bytes) -> str:
    return blake2b(text, digest_size=16).hexdigest()
