"""Errors of the bus package. The operator of the NATS server must act on each of them.

BusError
├── CannotConnectError         no server answers at the address
├── InvalidAddressError        NATS_URL is no address
├── AccessError                credentials or certificates can't be used
├── ConnectionLostError        the server ended the connection, and nats-py doesn't connect again
├── JetStreamDisabledError     the server runs without JetStream
├── NoClusterLeaderError       too few nodes of the cluster are there to do anything
├── TooManyReplicasError       more replicas are asked for than a server that is alone can have
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
        self.seconds = seconds
        self.reason = reason
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


class AccessError(BusError):
    """Credentials or certificates for the server can't be read, or aren't what they should be. None is shown."""


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


class NoClusterLeaderError(BusError):
    """Too few nodes of the cluster are there, or reach one another, to elect a leader or to hold the replicas."""

    def __init__(self, seconds: float, reason: str) -> None:
        super().__init__(
            f"JetStream did nothing for {seconds:g} s ({reason}): more than half of the cluster's nodes must run and "
            "reach one another, and there must be as many as LEADPLAN_REPLICAS"
        )


class TooManyReplicasError(BusError):
    """Several replicas are asked for, and the server is no cluster."""

    def __init__(self, replicas: int) -> None:
        super().__init__(
            f"LEADPLAN_REPLICAS is {replicas}, and this NATS server is alone: start a cluster (deploy/README.md), "
            "or set it to 1"
        )


class JetStreamSilentError(BusError):
    """JetStream was asked for long and gave no usable answer."""

    def __init__(self, seconds: float, reason: str) -> None:
        super().__init__(
            f"JetStream gave no usable answer for {seconds:.0f} s ({reason}): look at the NATS server's log, its disk, "
            "and whether most of its nodes run"
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


class TopologyRefusedError(BusError):
    """The server won't create a stream or consumer as we need it."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"the NATS server refuses to create {what}: {reason}")


class PermissionDeniedError(BusError):
    """The NATS user may not use a subject without which nothing works."""

    def __init__(self, violation: str) -> None:
        super().__init__(f"the NATS user of NATS_URL lacks a permission: {violation}. Grant it on the server")


class ClaimCheckError(BusError):
    """The object store doesn't hold what a claim check names, or holds something else."""
