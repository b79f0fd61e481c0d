"""What is known of an installation, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nats.js.api import StreamConfig

from leadplan_bus.server_facts import ConsumerFacts, ServerFacts
from leadplan_bus.service_stats import ServiceInstance
from leadplan_bus.tool_survey import ToolSurvey


@dataclass(frozen=True, kw_only=True)
class QueuedPlan:
    """A plan that lies in the work queue, under way or not, and the tools that its steps name."""

    plan_id: str
    tools: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Installation:
    """Everything that could be learned.

    Attributes:
        address: of the server, without credentials.
        version: of the server that answered.
        server: its nodes, limits and streams.
        streams: configuration by name; None where there is none. What couldn't be asked about isn't in it.
        consumers: of the work queue, likewise.
        executors: instances that answered.
        tools: those that somebody announces.
        queued: the latest plans of the work queue, a part of them.
    """

    address: str
    version: str
    server: ServerFacts
    streams: Mapping[str, StreamConfig | None] = field(default_factory=dict)
    consumers: Mapping[str, ConsumerFacts | None] = field(default_factory=dict)
    executors: tuple[ServiceInstance, ...] = ()
    tools: tuple[ToolSurvey, ...] = ()
    queued: tuple[QueuedPlan, ...] = ()
