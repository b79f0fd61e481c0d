"""The claim check: data too large for messages lies in an object store, and the message says where."""

import base64
from hashlib import sha256

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import ObjectInfo
from nats.js.errors import NotFoundError
from nats.js.object_store import ObjectStore

from leadplan_bus.errors import ClaimCheckError
from leadplan_contracts import DataRef
from leadplan_contracts.subjects import PLAN_DATA_BUCKET


class ClaimCheck:
    """Puts data into the bucket ``PLAN_DATA`` and gets it back, checked by its digest."""

    def __init__(self, js: JetStreamContext, bucket: str = PLAN_DATA_BUCKET) -> None:
        self._js = js
        self._bucket = bucket
        self._store: ObjectStore | None = None

    async def put(self, name: str, data: bytes) -> DataRef:
        """Store data under a name that is used once.

        Raises:
            ClaimCheckError: the bucket is missing or the server refused.
        """
        store = await self._open()
        try:
            info = await store.put(name, data)
        except NatsError as error:
            raise ClaimCheckError(f"can't store {len(data)} bytes in bucket {self._bucket}: {error!r}") from error
        return DataRef(bucket=self._bucket, name=name, size=len(data), digest=info.digest or "")

    async def get(self, ref: DataRef) -> bytes:
        """The bytes that a claim check stands for.

        Raises:
            ClaimCheckError: they are gone, or aren't what was put.
        """
        if ref.bucket != self._bucket:
            raise ClaimCheckError(f"claim check names bucket {ref.bucket!r}; only {self._bucket!r} is read")
        store = await self._open()
        try:
            info = await store.get_info(ref.name)
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

    async def _chunks(self, info: ObjectInfo) -> bytes:
        """Each chunk by a direct get of its own.

        nats-py's own reader waits without limit where a chunk is missing, and needs a consumer.
        """
        subject, sequence, chunks = f"$O.{self._bucket}.C.{info.nuid}", 0, []
        for _ in range(info.chunks or 0):
            chunk = await self._js.get_msg(
                f"OBJ_{self._bucket}", seq=sequence + 1, subject=subject, direct=True, next=True
            )
            sequence = chunk.seq or 0
            chunks.append(chunk.data or b"")
        return b"".join(chunks)

    def _mismatch(self, ref: DataRef) -> ClaimCheckError:
        return ClaimCheckError(f"{ref.name!r} in bucket {ref.bucket} isn't what the claim check describes")

    async def _open(self) -> ObjectStore:
        if self._store is None:
            try:
                self._store = await self._js.object_store(self._bucket)
            except NotFoundError as error:
                raise ClaimCheckError(f"there is no bucket {self._bucket}: an executor creates it") from error
            except NatsError as error:
                raise ClaimCheckError(f"can't open bucket {self._bucket}: {error!r}") from error
        return self._store
