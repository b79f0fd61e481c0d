"""Credentials and TLS against real servers that ask for them."""

import base64
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import nkeys
import pytest
import trustme
from nats.aio.msg import Msg

from leadplan_bus.access import Access, credentials_file
from leadplan_bus.connection import connect
from leadplan_bus.errors import AccessError, CannotConnectError

PATIENCE = 0.5


def new_key(prefix: int) -> nkeys.KeyPair:
    seed = nkeys.encode_seed(hashlib.sha256(f"{prefix} {time.time_ns()}".encode()).digest(), prefix)
    return nkeys.from_seed(bytearray(seed))


def seed_of(key: nkeys.KeyPair) -> str:
    return bytes(key.seed).decode()


def signed(key: nkeys.KeyPair, subject: nkeys.KeyPair, kind: str, **claims: Any) -> str:
    """A JWT of NATS, version 2."""

    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    body = {
        "jti": "x",
        "iat": int(time.time()),
        "iss": key.public_key.decode(),
        "sub": subject.public_key.decode(),
        "name": kind,
        "nats": {"type": kind, "version": 2, **claims},
    }
    text = f"{part({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{part(body)}"
    return f"{text}.{base64.urlsafe_b64encode(key.sign(text.encode())).rstrip(b'=').decode()}"


def restart(server: Any, extra: str, *, jetstream: bool = True) -> str:
    server.stop()
    server.extra, server.jetstream = extra, jetstream
    server.start()
    url: str = server.url
    return url


async def served(url: str, access: Access | None) -> bool:
    """Whether the server lets us in, and answers."""
    try:
        nc = await connect(url, name="test", within_seconds=PATIENCE, access=access)
    except CannotConnectError:
        return False
    try:
        await nc.flush(timeout=5)
    finally:
        await nc.close()
    return True


async def test_a_user_with_a_password(nats_server):
    url = restart(nats_server, "authorization { user: ann, password: secret }")
    assert await served(url, Access(user="ann", password="secret"))
    assert not await served(url, Access(user="ann", password="wrong"))
    assert not await served(url, None)
    # What is given beside the address holds in place of what stands in it.
    assert await served(url.replace("nats://", "nats://ann:wrong@"), Access(user="ann", password="secret"))


async def test_a_token(nats_server):
    url = restart(nats_server, 'authorization { token: "s3cret" }')
    assert await served(url, Access(token="s3cret"))
    assert not await served(url, Access(token="other"))


async def test_an_nkey(nats_server):
    user = new_key(nkeys.PREFIX_BYTE_USER)
    url = restart(nats_server, f"authorization {{ users: [ {{ nkey: {user.public_key.decode()} }} ] }}")
    assert await served(url, Access(nkey_seed=f"{seed_of(user)}\n"))
    assert not await served(url, Access(nkey_seed=seed_of(new_key(nkeys.PREFIX_BYTE_USER))))


async def test_a_credentials_file(nats_server):
    operator, account = new_key(nkeys.PREFIX_BYTE_OPERATOR), new_key(nkeys.PREFIX_BYTE_ACCOUNT)
    user = new_key(nkeys.PREFIX_BYTE_USER)
    limits = {"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "conn": -1, "leaf": -1}
    account_jwt = signed(operator, account, "account", limits={**limits, "wildcards": True})
    user_jwt = signed(account, user, "user", subs=-1, data=-1, payload=-1, pub={}, sub={})
    extra = f"""
operator: {signed(operator, operator, "operator")}
resolver: MEMORY
resolver_preload: {{ {account.public_key.decode()}: {account_jwt} }}
"""
    url = restart(nats_server, extra, jetstream=False)
    text = credentials_file(user_jwt, seed_of(user))
    assert await served(url, Access(creds=text))
    assert await served(url, Access(creds=text.replace("\n", "\r\n")))  # as an editor on Windows leaves it
    assert not await served(url, Access(creds=credentials_file(user_jwt, seed_of(new_key(nkeys.PREFIX_BYTE_USER)))))


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def tls_block(folder: Path, authority: trustme.CA, *, verify: bool = False) -> str:
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    more = f'ca_file: "{folder / "ca.pem"}"\n  verify: true' if verify else ""
    return f'tls {{\n  cert_file: "{folder / "cert.pem"}"\n  key_file: "{folder / "key.pem"}"\n  {more}\n}}'


async def test_tls_by_an_authority_of_one_s_own(nats_server, tmp_path: Path, authority: trustme.CA):
    url = restart(nats_server, tls_block(tmp_path, authority))
    assert await served(url, Access(ca=tmp_path / "ca.pem"))
    assert not await served(url, None)  # the system doesn't know the authority
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    assert not await served(url, Access(ca=tmp_path / "other.pem"))


async def test_tls_with_a_certificate_of_the_client(nats_server, tmp_path: Path, authority: trustme.CA):
    url = restart(nats_server, tls_block(tmp_path, authority, verify=True))
    client = authority.issue_cert("client@example.com")
    client.private_key_pem.write_to_path(tmp_path / "client-key.pem")
    client.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    given = {"ca": tmp_path / "ca.pem", "certificate": tmp_path / "client.pem"}
    assert await served(url, Access(**given, key=tmp_path / "client-key.pem"))
    assert not await served(url, Access(ca=tmp_path / "ca.pem"))
    with pytest.raises(AccessError, match="the key in it"):
        await served(url, Access(**given))


async def test_tls_before_the_greeting(nats_server, tmp_path: Path, authority: trustme.CA):
    block = tls_block(tmp_path, authority).replace("tls {", "tls {\n  handshake_first: true")
    url = restart(nats_server, block)
    assert await served(url, Access(ca=tmp_path / "ca.pem", tls_first=True))


async def test_nothing_is_shown_to_a_server_without_tls_where_tls_is_meant(
    nats_server, tmp_path: Path, authority: trustme.CA
):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    access = Access(ca=tmp_path / "ca.pem", user="ann", password="secret")
    with pytest.raises(CannotConnectError, match="the server asks for no TLS"):
        await connect(nats_server.url, name="test", within_seconds=PATIENCE, access=access)


async def test_replies_come_on_another_prefix(nats_server):
    extra = """
authorization { users: [ {
  user: ann, password: secret, permissions: { publish: ">", subscribe: ["_INBOX_ann.>", "greet"] }
} ] }"""
    url = restart(nats_server, extra)
    access = Access(user="ann", password="secret", inbox_prefix="_INBOX_ann")
    nc = await connect(url, name="test", access=access)
    try:

        async def greet(message: Msg) -> None:
            await message.respond(b"hello")

        await nc.subscribe("greet", cb=greet)
        assert (await nc.request("greet", timeout=5)).data == b"hello"
    finally:
        await nc.close()


SEED = seed_of(new_key(nkeys.PREFIX_BYTE_USER))


@pytest.mark.parametrize(
    ("access", "said"),
    [
        (Access(creds="nothing"), "holds no 'BEGIN NATS USER JWT'"),
        (Access(creds=credentials_file("jwt", "")), "holds no seed"),
        (Access(nkey_seed="U" + SEED), "holds no seed"),
        (Access(nkey_seed=SEED[:20] + ("A" if SEED[20] != "A" else "B") + SEED[21:]), "damaged"),
        (Access(ca=Path("/nowhere.pem")), "/nowhere.pem: No such file"),
        (Access(certificate=Path("/nowhere.pem")), "/nowhere.pem with the key in it: No such file"),
    ],
)
def test_what_cannot_be_used_is_told(access: Access, said: str):
    with pytest.raises(AccessError, match=said) as caught:
        access.options()
    assert SEED not in str(caught.value)


def test_a_file_that_is_no_certificate_is_told(tmp_path: Path):
    (tmp_path / "ca.pem").write_text("not one")
    with pytest.raises(AccessError, match=r"ca\.pem"):
        Access(ca=tmp_path / "ca.pem").options()


def test_no_secret_is_in_the_repr():
    access = Access(user="ann", password="secret1", token="secret2", creds="secret3", nkey_seed="secret4")
    assert "secret" not in repr(access)
