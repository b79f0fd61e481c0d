"""Who serves which tool, and how it goes there: ``$SRV.INFO`` and ``$SRV.STATS`` put together."""

import asyncio
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from nats.aio.client import Client

from leadplan_bus.discovery import AnnouncedTool, discover_tools
from leadplan_bus.service_stats import EndpointStats, ServiceInstance, read_service_stats


class ToolInstance(NamedTuple):
    """One instance of a responder, and its work on one tool since it started.

    ``service`` is the responder's name and ``instance`` its id. ``requests``, ``errors`` and ``started`` are None where
    the instance didn't say; ``average_ms`` (from request to answer) also before its first request. ``errors`` are
    requests that the responder counts as gone wrong: failures that a tool reports in order may be among them or not.
    """

    service: str
    instance: str
    version: str
    effects: str | None
    has_schema: bool
    started: datetime | None
    requests: int | None
    errors: int | None
    last_error: str | None
    average_ms: float | None


class ToolSurvey(NamedTuple):
    """A tool and the instances that serve it, sorted by service, version and id; at least one.

    Tools served by plain subscribers announce nothing and aren't here.
    """

    tool: str
    instances: tuple[ToolInstance, ...]

    @property
    def services(self) -> tuple[str, ...]:
        """The names of the responders that serve it; more than one share the requests."""
        return tuple(sorted({one.service for one in self.instances}))

    @property
    def versions(self) -> tuple[str, ...]:
        """The versions that run now; more than one during a roll-out."""
        return tuple(sorted({one.version for one in self.instances}))

    @property
    def effects(self) -> tuple[str, ...]:
        """What the instances say of their effects: ``none``, ``idempotent``, ``once``; one, if they agree."""
        return tuple(sorted({one.effects for one in self.instances if one.effects is not None}))

    @property
    def has_schema(self) -> bool:
        """Whether an instance announces a schema of the params, so that plans are checked against it."""
        return any(one.has_schema for one in self.instances)

    @property
    def requests(self) -> int | None:
        """Requests to all instances since each started; None where none of them says."""
        return _sum(one.requests for one in self.instances)

    @property
    def errors(self) -> int | None:
        """Those of them that went wrong; None where no instance says."""
        return _sum(one.errors for one in self.instances)

    @property
    def average_ms(self) -> float | None:
        """Mean time of a request at all instances, in milliseconds; None before the first one."""
        counted = [(one.requests, one.average_ms) for one in self.instances]
        known = [(requests, average) for requests, average in counted if requests and average is not None]
        total = sum(requests for requests, _ in known)
        return sum(requests * average for requests, average in known) / total if total else None


async def survey_tools(nc: Client, *, longest: float = 2.0, silence: float = 0.3) -> list[ToolSurvey]:
    """Ask everybody what they serve and how it went, and put the answers together.

    Args:
        nc: the connection.
        longest: seconds to wait in all.
        silence: seconds without a further answer after which no more are expected.

    Returns:
        The tools that somebody announces, by name.

    Raises:
        nats.errors.Error: the questions couldn't be sent.
    """
    announced, services = await asyncio.gather(
        discover_tools(nc, longest=longest, silence=silence),
        read_service_stats(nc, longest=longest, silence=silence),
    )
    running = {(service.name, service.id): service for service in services}
    found: dict[str, dict[tuple[str, str], ToolInstance]] = {}
    for one in announced:
        service = running.get((one.service, one.instance))
        found.setdefault(one.tool, {})[one.service, one.instance] = _instance(one, service)
    return [ToolSurvey(tool, tuple(sorted(found[tool].values(), key=_place))) for tool in sorted(found)]


def _instance(announced: AnnouncedTool, service: ServiceInstance | None) -> ToolInstance:
    stats = _endpoint(service, announced) if service is not None else None
    return ToolInstance(
        service=announced.service,
        instance=announced.instance,
        version=announced.version,
        effects=announced.effects,
        has_schema=announced.params_schema is not None,
        started=service.started if service is not None else None,
        requests=stats.requests if stats is not None else None,
        errors=stats.errors if stats is not None else None,
        last_error=stats.last_error if stats is not None else None,
        average_ms=stats.average_ms if stats is not None else None,
    )


def _endpoint(service: ServiceInstance, announced: AnnouncedTool) -> EndpointStats | None:
    for endpoint in service.endpoints:
        if endpoint.name == announced.endpoint and endpoint.subject == announced.subject:
            return endpoint
    return None


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _place(instance: ToolInstance) -> tuple[str, str, str]:
    return instance.service, instance.version, instance.instance
