"""What a call to a tool came to, as the tool layer saw it; ``judge`` says what each means (protocol section 5)."""

from typing import TypeAlias

from msgspec import Struct

from leadplan_contracts import LeadToolExecutionResult


class Replied(Struct, frozen=True):
    """A final reply of the protocol's form."""

    reply: LeadToolExecutionResult


class NoResponders(Struct, frozen=True):
    """Nobody listens on the tool's subject."""


class TimedOut(Struct, frozen=True):
    """No final reply within the attempt's time."""

    timeout_ms: int


class ToolLost(Struct, frozen=True):
    """A sign of life came, then none for so long."""

    silence_ms: int


class BadReply(Struct, frozen=True):
    """The reply isn't of the protocol's form."""

    detail: str


class ServiceFailed(Struct, frozen=True):
    """A NATS micro service's error reply (``Nats-Service-Error-Code``)."""

    code: int
    text: str


class PayloadTooLarge(Struct, frozen=True):
    """Request or reply is over the server's limit."""

    detail: str


class StayedBusy(Struct, frozen=True):
    """The tool answered ``busy`` for longer than we wait; ``message`` is what it said last, if anything."""

    waited_ms: int
    message: str | None = None


class DataUnavailable(Struct, frozen=True):
    """Large data couldn't be put into the object store."""

    detail: str


ToolSignal: TypeAlias = (
    Replied
    | NoResponders
    | TimedOut
    | ToolLost
    | BadReply
    | ServiceFailed
    | PayloadTooLarge
    | StayedBusy
    | DataUnavailable
)
