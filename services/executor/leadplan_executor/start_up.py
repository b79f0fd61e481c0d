"""Before plans are taken: wait for JetStream, look whether the server is fit, create what is missing."""

import structlog
from nats.aio.client import Client
from nats.js.api import ConsumerConfig

from leadplan_bus.leaders import at_start_up
from leadplan_bus.limits import require_room_for_events
from leadplan_bus.server_checks import Severity, Wanted, check_server
from leadplan_bus.server_questions import gather_server_facts
from leadplan_bus.topology import ensure_consumer, ensure_topology, queue_consumers
from leadplan_executor.errors import UnfitServerError
from leadplan_executor.settings import ExecutorSettings

log = structlog.get_logger(__name__)

_ANSWER_SECONDS = 1.0
"""A server that hasn't joined its cluster yet doesn't answer at all: ask again soon."""


def shared_consumers(settings: ExecutorSettings) -> list[ConsumerConfig]:
    """The consumers that all executors share, as these settings want them."""
    return queue_consumers(settings.lease_ms / 1000, settings.max_plans_in_queue_group)


async def prepare_server(nc: Client, settings: ExecutorSettings) -> None:
    """Wait for JetStream, check the server, and create the streams and the consumer that are missing.

    Raises:
        leadplan_bus.errors.BusError: JetStream is off or has no leader, or a stream has another configuration than we
            need.
        UnfitServerError: the server isn't safe, and ``LEADPLAN_SERVER_CHECKS`` is ``refuse``.
    """
    require_room_for_events(nc)
    js, within = nc.jetstream(), settings.connect_timeout_ms / 1000
    ask = nc.jetstream(timeout=_ANSWER_SECONDS).account_info
    await at_start_up(ask, "JetStream", settings.replicas, within)
    if settings.server_checks != "off":
        await _check(nc, settings)
    created = await ensure_topology(js, settings.retention, within_seconds=within)
    if created:
        log.info("streams created", streams=created)
    for consumer in shared_consumers(settings):
        await ensure_consumer(js, consumer, within_seconds=within)


async def _check(nc: Client, settings: ExecutorSettings) -> None:
    wanted = Wanted(
        replicas=settings.replicas,
        lease_seconds=settings.lease_ms / 1000,
        max_ack_pending=settings.max_plans_in_queue_group,
    )
    findings = check_server(await gather_server_facts(nc, settings.nats_monitoring_url), wanted)
    for finding in findings:
        tell = log.info if finding.severity is Severity.UNKNOWN else log.warning
        tell(
            "server check",
            check=finding.check,
            severity=finding.severity.value,
            what=finding.what,
            why=finding.why,
            remedy=finding.remedy,
        )
    unsafe = [finding for finding in findings if finding.severity is Severity.UNSAFE]
    if unsafe and settings.server_checks == "refuse":
        raise UnfitServerError(unsafe)
