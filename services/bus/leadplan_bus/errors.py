"""Errors of the bus package. The operator of the NATS server must act on each of them.

BusError
├── CannotConnectError         no server answers at the address
├── InvalidAddressError        NATS_URL is no address
├── ConnectionLostError        the server ended the connection, and nats-py doesn't connect again
├── JetStreamDisabledError     the server runs without JetStream
├── MessageLimitTooLowError    the server's max_payload is too small for events
├── IncompatibleStreamError    a stream or bucket exists with another configuration than the contract needs
└── ClaimCheckError            data in the object store is missing or damaged
"""


class BusError(Exception):
    """Base of the errors that this package raises."""


class CannotConnectError(BusError):
    """No server answered in time."""

    def __init__(self, address: str, seconds: float, reason: str) -> None:
        self.address = address
        super().__init__(
            f"no NATS server answered at {address} within {seconds:g} s ({reason}): start one or set NATS_URL"
        )


class InvalidAddressError(BusError):
    """An address can't be read. The message doesn't show it, for it may hold a password."""

    def __init__(self) -> None:
        super().__init__(
            "NATS_URL is no NATS address: write nats://host:4222 or nats://user:password@host:4222, or several of them "
            "separated by commas; user and password can't hold spaces, commas or any of / ? # [ ]"
        )


class ConnectionLostError(BusError):
    """The connection was closed for good while it was needed."""

    def __init__(self, reason: Exception | None) -> None:
        super().__init__(f"the NATS connection was closed for good ({reason or 'without a reason'})")


class JetStreamDisabledError(BusError):
    """The server runs without JetStream, or the account may not use it."""

    def __init__(self) -> None:
        super().__init__(
            "JetStream is off on this NATS server or account: start nats-server with -js or a jetstream block"
        )


class MessageLimitTooLowError(BusError):
    """The server takes only messages too small for our events."""

    def __init__(self, limit: int, needed: int) -> None:
        super().__init__(
            f"the NATS server's max_payload is {limit} bytes; events need {needed}: set max_payload to 1MB, its default"
        )


class IncompatibleStreamError(BusError):
    """A stream exists with a configuration that would break the contract.

    Attributes:
        stream: its name.
        differences: one text for each field: what it is, and what it must be.
    """

    def __init__(self, stream: str, differences: list[str]) -> None:
        self.stream = stream
        self.differences = differences
        super().__init__(
            f"stream {stream} exists with an incompatible configuration: {'; '.join(differences)}. "
            f"Change it (nats stream edit {stream}) or remove it and start again"
        )


class ClaimCheckError(BusError):
    """The object store doesn't hold what a claim check names, or holds something else."""
