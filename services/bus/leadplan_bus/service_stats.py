"""What micro services say of their work through ``$SRV.STATS`` (ADR-32): requests, errors and how long they took."""

from datetime import UTC, datetime
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Raw
from nats.aio.client import Client

from leadplan_bus.service_answers import UNREADABLE, ask_services, printable
from leadplan_contracts.subjects import EXECUTOR_SERVICE_NAME

_NANOSECONDS_A_MILLISECOND = 1_000_000


class EndpointStats(NamedTuple):
    """One subject of a service instance, since the instance started.

    ``last_error`` is None where there was none. ``average_ns`` is the mean time of a request in nanoseconds; 0 before
    the first one.
    """

    name: str
    subject: str
    requests: int
    errors: int
    last_error: str | None
    average_ns: int

    @property
    def average_ms(self) -> float | None:
        """The mean time of a request in milliseconds; None before the first one."""
        return self.average_ns / _NANOSECONDS_A_MILLISECOND if self.requests else None


class ServiceInstance(NamedTuple):
    """One running instance of a micro service, as it describes itself; ``started`` is None where it can't be read."""

    name: str
    id: str
    version: str
    started: datetime | None
    endpoints: tuple[EndpointStats, ...]


_MOST = 2**62
_Count = Annotated[int, Meta(ge=0, le=_MOST)]


class _Endpoint(msgspec.Struct):
    name: str
    subject: str
    num_requests: _Count = 0
    num_errors: _Count = 0
    last_error: str | None = None
    average_processing_time: Annotated[float, Meta(ge=0, le=_MOST)] = 0


class _Service(msgspec.Struct):
    name: str
    id: str
    version: str
    started: str | None = None
    # One endpoint that can't be read must not hide the others.
    endpoints: list[Raw] | None = None


_service_decoder = msgspec.json.Decoder(_Service)
_endpoint_decoder = msgspec.json.Decoder(_Endpoint)


async def read_service_stats(
    nc: Client, service: str | None = None, *, longest: float = 2.0, silence: float = 0.3
) -> list[ServiceInstance]:
    """Every instance that answers, sorted by name and id; answers that can't be read are passed over.

    Args:
        nc: the connection.
        service: ask the instances of this service only.
        longest: seconds to wait in all.
        silence: seconds without a further answer after which no more are expected.

    Raises:
        nats.errors.Error: the question couldn't be sent.
    """
    subject = "$SRV.STATS" if service is None else f"$SRV.STATS.{service}"
    answers = await ask_services(nc, subject, longest=longest, silence=silence)
    # Each instance once, whatever answers twice; and only those that were asked for.
    found = {(one.name, one.id): one for one in map(_read, answers) if one and service in (None, one.name)}
    return [found[key] for key in sorted(found)]


async def survey_executors(nc: Client, *, longest: float = 2.0, silence: float = 0.3) -> list[ServiceInstance]:
    """The executors that run now; their endpoints are the control requests, such as ``plans.status``.

    Raises:
        nats.errors.Error: the question couldn't be sent.
    """
    return await read_service_stats(nc, EXECUTOR_SERVICE_NAME, longest=longest, silence=silence)


def _read(answer: bytes) -> ServiceInstance | None:
    try:
        service = _service_decoder.decode(answer)
    except UNREADABLE:
        return None
    endpoints = tuple(one for one in map(_read_endpoint, service.endpoints or []) if one is not None)
    name, instance, version = printable(service.name), printable(service.id), printable(service.version)
    return ServiceInstance(name, instance, version, _time(service.started), endpoints)


def _read_endpoint(body: Raw) -> EndpointStats | None:
    try:
        endpoint = _endpoint_decoder.decode(body)
    except UNREADABLE:
        return None
    return EndpointStats(
        printable(endpoint.name),
        printable(endpoint.subject),
        endpoint.num_requests,
        endpoint.num_errors,
        printable(endpoint.last_error or "") or None,
        round(endpoint.average_processing_time),
    )


def _time(text: str | None) -> datetime | None:
    try:
        started = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return started if started.tzinfo else started.replace(tzinfo=UTC)
