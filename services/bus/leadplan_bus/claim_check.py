"""The claim check: data too large for messages lies in an object store, and the message says where."""

import base64
import itertools
from functools import partial
from hashlib import sha256

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import ObjectInfo, RawStreamMsg
from nats.js.errors import NoStreamResponseError, NotFoundError
from nats.js.object_store import ObjectStore

from leadplan_bus.errors import ClaimCheckError
from leadplan_bus.leaders import until_led
from leadplan_contracts import DataRef
from leadplan_contracts.subjects import PLAN_DATA_BUCKET


class ClaimCheck:
    """Puts data into the bucket ``PLAN_DATA`` and gets it back, checked by its digest."""

    def __init__(self, js: JetStreamContext, bucket: str = PLAN_DATA_BUCKET) -> None:
        self._js = js
        self._bucket = bucket
        self._store: ObjectStore | None = None

    async def put(self, name: str, data: bytes) -> DataRef:
        """Store data under a name that is used once. A cluster without a leader is waited for.

        Raises:
            ClaimCheckError: the bucket is missing or the server refused.
        """
        tries = itertools.count(1)

        async def put_once() -> ObjectInfo:
            # A try whose answer was lost may still arrive, after a partition even late. It must not replace what a
            # later one stored, so each has a name of its own.
            number = next(tries)
            return await self._put(name if number == 1 else f"{name}-{number}", data)

        try:
            info = await until_led(put_once, f"object store {self._bucket}")
        except NatsError as error:
            raise ClaimCheckError(f"can't store {len(data)} bytes in bucket {self._bucket}: {error!r}") from error
        return DataRef(bucket=self._bucket, name=info.name, size=len(data), digest=info.digest or "")

    async def _put(self, name: str, data: bytes) -> ObjectInfo:
        store = await self._open()
        try:
            return await store.put(name, data)
        except (NoStreamResponseError, NotFoundError):
            self._store = None
            await self._open()  # tells a bucket that is gone from one without a leader
            raise

    async def get(self, ref: DataRef) -> bytes:
        """The bytes that a claim check stands for.

        Raises:
            ClaimCheckError: they are gone, or aren't what was put.
        """
        if ref.bucket != self._bucket:
            raise ClaimCheckError(f"claim check names bucket {ref.bucket!r}; only {self._bucket!r} is read")
        try:
            info = await until_led(partial(self._info, ref.name), f"object store {self._bucket}")
            if info.size != ref.size or info.digest != ref.digest:
                raise self._mismatch(ref)
            data = await self._chunks(info)
        except NotFoundError as error:
            raise ClaimCheckError(f"bucket {ref.bucket} no longer holds {ref.name!r}: it may have aged out") from error
        except NatsError as error:
            raise ClaimCheckError(f"can't read {ref.name!r} from bucket {ref.bucket}: {error!r}") from error
        if f"SHA-256={base64.urlsafe_b64encode(sha256(data).digest()).decode()}" != ref.digest:
            raise self._mismatch(ref)
        return data

    async def _info(self, name: str) -> ObjectInfo:
        store = await self._open()
        return await store.get_info(name)

    async def _chunks(self, info: ObjectInfo) -> bytes:
        """Each chunk by a get of its own.

        nats-py's own reader waits without limit where a chunk is missing, and needs a consumer.
        """
        sequence, chunks = 0, []
        for _ in range(info.chunks or 0):
            chunk = await self._next_chunk(f"$O.{self._bucket}.C.{info.nuid}", sequence + 1)
            sequence = chunk.seq or 0
            chunks.append(chunk.data or b"")
        return b"".join(chunks)

    async def _next_chunk(self, subject: str, sequence: int) -> RawStreamMsg:
        """From any replica; where it lacks the chunk, and so may lag behind, from the leader."""
        stream = f"OBJ_{self._bucket}"
        try:
            return await self._js.get_msg(stream, seq=sequence, subject=subject, direct=True, next=True)
        except NotFoundError:
            return await self._js.get_msg(stream, seq=sequence, subject=subject, next=True)

    def _mismatch(self, ref: DataRef) -> ClaimCheckError:
        return ClaimCheckError(f"{ref.name!r} in bucket {ref.bucket} isn't what the claim check describes")

    async def _open(self) -> ObjectStore:
        if self._store is None:
            try:
                self._store = await self._js.object_store(self._bucket)
            except NotFoundError as error:
                raise ClaimCheckError(f"there is no bucket {self._bucket}: an executor creates it") from error
        return self._store
