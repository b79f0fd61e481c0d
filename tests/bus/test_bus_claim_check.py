"""Data put into the object store comes back as it was, or not at all."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace
from nats.aio.client import Client

from leadplan_bus.claim_check import ClaimCheck
from leadplan_bus.errors import ClaimCheckError
from leadplan_bus.topology import Retention, ensure_topology
from leadplan_contracts import DataRef


@pytest.fixture
async def claim_check(nc: Client) -> ClaimCheck:
    await ensure_topology(nc.jetstream(), Retention())
    return ClaimCheck(nc.jetstream())


@pytest.mark.parametrize("size", [0, 1, 128 * 1024, 128 * 1024 + 1, 3_000_000])
async def test_what_was_put_comes_back(nc: Client, claim_check: ClaimCheck, size: int):
    data = bytes(number % 251 for number in range(1000)) * (size // 1000) + b"x" * (size % 1000)
    ref = await claim_check.put("p1/s1/token", data)
    assert (ref.bucket, ref.name, ref.size) == ("PLAN_DATA", "p1/s1/token", size)
    assert ref.digest.startswith("SHA-256=")
    assert await ClaimCheck(nc.jetstream()).get(ref) == data


async def test_it_reads_what_the_client_library_wrote_and_the_other_way_round(nc: Client, claim_check: ClaimCheck):
    store = await nc.jetstream().object_store("PLAN_DATA")
    info = await store.put("by the library", b"y" * 300_000)
    ref = DataRef(bucket="PLAN_DATA", name="by the library", size=300_000, digest=info.digest)
    assert await claim_check.get(ref) == b"y" * 300_000
    ref = await claim_check.put("by us", b"z" * 300_000)
    assert (await store.get("by us")).data == b"z" * 300_000


@pytest.mark.parametrize("change", [{"size": 5}, {"digest": "SHA-256=AAAA"}, {"digest": ""}])
async def test_another_size_or_digest_is_refused(claim_check: ClaimCheck, change: dict[str, Any]):
    ref = await claim_check.put("p1/s1/token", b"the data")
    with pytest.raises(ClaimCheckError, match="isn't what the claim check describes"):
        await claim_check.get(replace(ref, **change))


async def test_data_that_was_changed_in_the_store_is_refused(nc: Client, claim_check: ClaimCheck):
    ref = await claim_check.put("p1/s1/token", b"the data")
    js = nc.jetstream()
    stored = await js.get_msg("OBJ_PLAN_DATA", seq=1, direct=True)
    await js.delete_msg("OBJ_PLAN_DATA", 1)
    await js.publish(stored.subject, b"tampered")
    with pytest.raises(ClaimCheckError, match="isn't what the claim check describes"):
        await claim_check.get(ref)


async def test_a_name_that_is_not_there_may_have_aged_out(claim_check: ClaimCheck):
    ref = await claim_check.put("p1/s1/token", b"the data")
    with pytest.raises(ClaimCheckError, match="no longer holds 'p1/s1/other': it may have aged out"):
        await claim_check.get(replace(ref, name="p1/s1/other"))


async def test_missing_chunks_are_an_error_and_no_endless_wait(nc: Client, claim_check: ClaimCheck):
    ref = await claim_check.put("p1/s1/token", b"x" * 400_000)
    await nc.jetstream().delete_msg("OBJ_PLAN_DATA", 2)
    async with asyncio.timeout(2):
        with pytest.raises(ClaimCheckError, match="no longer holds"):
            await claim_check.get(ref)


async def test_only_its_own_bucket_is_read(nc: Client, claim_check: ClaimCheck):
    await (await nc.jetstream().create_object_store("PRIVATE")).put("secrets", b"x")
    ref = DataRef(bucket="PRIVATE", name="secrets", size=1, digest="SHA-256=x")
    with pytest.raises(ClaimCheckError, match="names bucket 'PRIVATE'; only 'PLAN_DATA' is read"):
        await claim_check.get(ref)


async def test_a_bucket_that_is_not_there_is_told_for_put_and_get(nc: Client):
    claim_check = ClaimCheck(nc.jetstream())
    with pytest.raises(ClaimCheckError, match="there is no bucket PLAN_DATA"):
        await claim_check.put("p1/s1/token", b"x")
    with pytest.raises(ClaimCheckError, match="there is no bucket PLAN_DATA"):
        await claim_check.get(DataRef(bucket="PLAN_DATA", name="x", size=1, digest="SHA-256=x"))
    await ensure_topology(nc.jetstream(), Retention())
    await claim_check.put("p1/s1/token", b"x")


async def test_without_a_server_it_is_one_error_too(nc: Client, claim_check: ClaimCheck, nats_server: Any):
    ref = await claim_check.put("p1/s1/token", b"x")
    await nc.close()
    with pytest.raises(ClaimCheckError, match="can't store 1 bytes"):
        await claim_check.put("p1/s1/other", b"x")
    with pytest.raises(ClaimCheckError, match="can't read"):
        await claim_check.get(ref)
