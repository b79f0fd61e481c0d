"""What a client shows a NATS server, and how it knows the server: credentials and TLS, beyond what an address holds."""

import base64
import binascii
import re
import ssl
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nats.aio.client import RawCredentials

from leadplan_bus.errors import AccessError

_JWT = re.compile(r"-{3,}BEGIN NATS USER JWT-{3,}\s+(\S+)\s")
_SEED = re.compile(r"(?:^|\s)(SU[A-Z2-7]{56})(?:\s|$)")
_DECORATED = """-----BEGIN NATS USER JWT-----
{jwt}
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
{seed}
------END USER NKEY SEED------
"""


@dataclass(frozen=True, kw_only=True)
class Access:
    """One kind of credentials at most, and TLS. Secrets are in no ``repr``.

    Attributes:
        user: with ``password``.
        password: an empty one is one.
        token: in place of a user.
        creds: the text of a credentials file: a user's JWT and the seed of its nkey.
        nkey_seed: the text of an nkey file, or the seed alone.
        ca: file with the authorities that the server's certificate is checked by; None: those of the system.
        certificate: file with the client's certificate.
        key: file with its private key.
        tls_first: whether TLS begins before the server's greeting, as the server's ``handshake_first`` asks for.
        inbox_prefix: what reply subjects begin with, where the user may not use ``_INBOX``.
    """

    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    creds: str | None = field(default=None, repr=False)
    nkey_seed: str | None = field(default=None, repr=False)
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    tls_first: bool = False
    inbox_prefix: str | None = None

    @property
    def has_credentials(self) -> bool:
        """Whether there is anything to show the server."""
        return any(one is not None for one in (self.user, self.token, self.creds, self.nkey_seed))

    @property
    def requires_tls(self) -> bool:
        """Whether a server without TLS is not the one that is meant."""
        return self.ca is not None or self.certificate is not None or self.tls_first

    def options(self) -> dict[str, Any]:
        """What nats-py's ``connect`` takes for it.

        Raises:
            AccessError: a file can't be read or holds something else, or a package is missing.
        """
        options = {**self._credential_options(), **self._tls_options()}
        if self.inbox_prefix:
            options["inbox_prefix"] = self.inbox_prefix
        return options

    def _credential_options(self) -> dict[str, Any]:
        if self.creds is not None:
            jwt = _JWT.search(self.creds)
            if jwt is None:
                raise AccessError(
                    "the credentials file holds no 'BEGIN NATS USER JWT': is it one of nsc's .creds files?"
                )
            seed = _checked_seed(self.creds, "the credentials file")
            return {"user_credentials": RawCredentials(credentials_file(jwt[1], seed))}
        if self.nkey_seed is not None:
            return {"nkeys_seed_str": _checked_seed(self.nkey_seed, "the nkey file")}
        if self.user is not None:
            return {"user": self.user, "password": self.password or ""}
        return {"token": self.token} if self.token is not None else {}

    def _tls_options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"tls_handshake_first": True} if self.tls_first else {}
        if self.ca is None and self.certificate is None:
            return options
        try:
            options["tls"] = context = ssl.create_default_context(cafile=self.ca)
        except OSError as error:
            raise AccessError(f"can't use the certificate authorities in {self.ca}: {_reason(error)}") from error
        if self.certificate is not None:
            try:
                context.load_cert_chain(self.certificate, self.key)
            except OSError as error:
                files = f"{self.certificate} with {self.key or 'the key in it'}"
                raise AccessError(f"can't use the certificate {files}: {_reason(error)}") from error
        return options


def credentials_file(jwt: str, seed: str) -> str:
    """The text of a credentials file, as nsc writes it."""
    return _DECORATED.format(jwt=jwt, seed=seed)


def _checked_seed(text: str, what: str) -> str:
    if find_spec("nkeys") is None:
        raise AccessError(f"{what} needs the package nkeys: pip install nkeys")
    found = _SEED.search(text)
    if found is None:
        raise AccessError(f"{what} holds no seed of a user's nkey (58 characters, the first ones SU)")
    # The last two bytes are a CRC-16 (XMODEM) of the others; nkeys doesn't look at it, and would sign with anything.
    decoded = base64.b32decode(found[1] + "=" * (-len(found[1]) % 8))
    if binascii.crc_hqx(decoded[:-2], 0) != int.from_bytes(decoded[-2:], "little"):
        raise AccessError(f"{what} holds a seed that is damaged: a character of it is wrong")
    return found[1]


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
