"""Is this NATS server fit to keep what executors promise? Findings from facts; nothing here asks anything.

Whatever would break the contract outright (memory storage, no republish, a stream on other subjects) isn't a finding:
``leadplan_bus.topology`` refuses it, whatever the settings say.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from leadplan_bus.limits import LEAST_MAX_PAYLOAD
from leadplan_bus.server_facts import NANOSECONDS, ServerFacts, StreamFacts
from leadplan_contracts import subjects

LEAST_API_LEVEL = 4
"""nats-server 2.14: schedules by cron, which monitors need."""
CLOCKS_MAY_DIFFER_SECONDS = 2.0
_NODES_TO_LOSE_ONE = 3
_NEARLY_FULL = 0.9
_DATA_STREAM = f"OBJ_{subjects.PLAN_DATA_BUCKET}"
_CAN_DO_WITHOUT = (f"KV_{subjects.TOOL_CHECKPOINTS_BUCKET}", f"KV_{subjects.PLAN_INDEX_BUCKET}")
"""What they hold is done again, or told again, where it is lost."""
_WITHOUT_WHICH_PLANS_ARE_LOST = (subjects.PLANS_STREAM, subjects.PLAN_LOG_STREAM, _DATA_STREAM)


class Severity(Enum):
    """What a finding means for a start.

    ``UNSAFE``: something that was acknowledged can be lost, or doesn't work. ``NOTICE``: worth knowing, maybe meant so.
    ``UNKNOWN``: can't be seen from here.
    """

    UNSAFE = "unsafe"
    NOTICE = "notice"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that an operator should know: what it is, why it matters, what to do about it."""

    check: str
    severity: Severity
    what: str
    why: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: {self.why}. {self.remedy}"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the executor was told to expect.

    ``replicas`` of each stream, the lease and the largest number of plans under way as its own settings have them.
    """

    replicas: int
    lease_seconds: float
    max_ack_pending: int


def check_server(facts: ServerFacts, wanted: Wanted) -> list[Finding]:
    """Every finding, the unsafe ones first."""
    order = list(Severity)
    found = [finding for check in _CHECKS for finding in check(facts, wanted)]
    return sorted(found, key=lambda finding: order.index(finding.severity))


def _version(facts: ServerFacts, _: Wanted) -> Iterator[Finding]:
    if facts.account is not None and facts.account.api.level < LEAST_API_LEVEL:
        versions = ", ".join(sorted({node.version for node in facts.nodes})) or "unknown"
        yield Finding(
            check="version",
            severity=Severity.UNSAFE,
            what=f"the server (version {versions}) has JetStream API level {facts.account.api.level}",
            why=f"schedules and other things that are relied on need level {LEAST_API_LEVEL}",
            remedy="Install nats-server 2.14 or newer",
        )
    versions_by_node = {node.name: node.version for node in facts.nodes}
    if len(set(versions_by_node.values())) > 1:
        listed = ", ".join(f"{name} {version}" for name, version in sorted(versions_by_node.items()))
        yield Finding(
            check="versions differ",
            severity=Severity.NOTICE,
            what=f"the nodes have different versions ({listed})",
            why="what one of them can't do fails after the next change of leader",
            remedy="Finish the upgrade",
        )


def _feature_flags(facts: ServerFacts, _: Wanted) -> Iterator[Finding]:
    nodes = sorted(node.name for node in facts.nodes if node.feature_flags.get("js_ack_fc_v2"))
    if nodes:
        yield Finding(
            check="js_ack_fc_v2",
            severity=Severity.UNSAFE,
            what=f"js_ack_fc_v2 is on ({', '.join(nodes)})",
            why="clients of nats-py that watch buckets or read objects go deaf without an error",
            remedy="Set feature_flags { js_ack_fc_v2: false } and restart the server",
        )


def _max_payload(facts: ServerFacts, _: Wanted) -> Iterator[Finding]:
    if facts.max_payload < LEAST_MAX_PAYLOAD:
        yield Finding(
            check="max_payload",
            severity=Severity.UNSAFE,
            what=f"max_payload is {facts.max_payload} bytes",
            why=f"events can have {LEAST_MAX_PAYLOAD}",
            remedy="Set max_payload to 1MB, its default",
        )


def _clocks(facts: ServerFacts, _: Wanted) -> Iterator[Finding]:
    for node in facts.nodes:
        ahead = node.clock_ahead_seconds
        if abs(ahead) - node.clock_error_seconds > CLOCKS_MAY_DIFFER_SECONDS:
            direction = "ahead of" if ahead > 0 else "behind"
            yield Finding(
                check="clock",
                severity=Severity.NOTICE,
                what=f"the clock of server {node.name} is {abs(ahead):.1f} s {direction} the executor's",
                why="deadlines, retries and schedules come too early or late, and times of events mislead",
                remedy="Synchronise the clocks of all machines (NTP)",
            )


def _sync(facts: ServerFacts, wanted: Wanted) -> Iterator[Finding]:
    replicated = wanted.replicas >= _NODES_TO_LOSE_ONE  # an acknowledged message is on two machines
    if facts.sync is None:
        if replicated and not facts.sync_problem:
            return
        yield Finding(
            check="sync",
            severity=Severity.UNKNOWN,
            what="whether the server writes to disk before it acknowledges can't be seen"
            + (f" ({facts.sync_problem})" if facts.sync_problem else ""),
            why="a client isn't told; only the monitoring port shows sync_interval",
            remedy="Set LEADPLAN_NATS_MONITORING_URL (http://nats:8222), or look into the server's configuration",
        )
    elif not facts.sync.always:
        yield Finding(
            check="sync",
            severity=Severity.NOTICE if replicated else Severity.UNSAFE,
            what=f"the server writes to disk every {facts.sync.interval_seconds:g} s, after it acknowledged",
            why=f"a power cut {'of two nodes at once ' * replicated}loses plans and events of that time",
            remedy="Set sync_interval: always"
            + ("" if replicated else " (deploy/nats/nats-safe.conf), or run three nodes and LEADPLAN_REPLICAS=3"),
        )


def _cluster_size(facts: ServerFacts, wanted: Wanted) -> Iterator[Finding]:
    nodes = len(facts.nodes)
    if not nodes:
        yield Finding(
            check="nodes",
            severity=Severity.UNKNOWN,
            what="the server's nodes can't be seen",
            why="it doesn't answer $SYS.REQ.ACCOUNT.PING.CONNZ, so versions, flags and clocks weren't checked",
            remedy="Allow this user to publish to that subject",
        )
    elif wanted.replicas > nodes:
        yield Finding(
            check="cluster size",
            severity=Severity.UNSAFE,
            what=f"LEADPLAN_REPLICAS is {wanted.replicas}, and {nodes} node{'s' * (nodes > 1)} answered",
            why="streams can't be created with so many replicas, or have lost some of them",
            remedy=f"Start the missing nodes, or set LEADPLAN_REPLICAS to at most {nodes}",
        )
    elif facts.clustered and wanted.replicas < min(_NODES_TO_LOSE_ONE, nodes):
        yield Finding(
            check="cluster size",
            severity=Severity.UNSAFE,
            what=f"LEADPLAN_REPLICAS is {wanted.replicas} in a cluster of {nodes} nodes",
            why="with fewer than three replicas, the loss of one node stops plans or loses them",
            remedy="Set LEADPLAN_REPLICAS=3",
        )


def _replicas(facts: ServerFacts, wanted: Wanted) -> Iterator[Finding]:
    for name, stream in _present(facts):
        present = stream.config.num_replicas
        if present < wanted.replicas:
            yield Finding(
                check="replicas",
                severity=Severity.NOTICE if name in _CAN_DO_WITHOUT else Severity.UNSAFE,
                what=f"LEADPLAN_REPLICAS is {wanted.replicas}, and stream {name} has {present}",
                why="the setting counts when a stream is created; this one doesn't survive what the others do",
                remedy=f"Run: nats stream edit {name} --replicas={wanted.replicas}",
            )
        behind = sorted(one.name for one in stream.cluster.replicas if one.offline or not one.current)
        if behind:
            yield Finding(
                check="replicas behind",
                severity=Severity.NOTICE,
                what=f"stream {name}: {', '.join(behind)} {'is' if len(behind) == 1 else 'are'} offline or behind",
                why="until that is over, the loss of another node can stop the stream",
                remedy="Look at these nodes",
            )


def _persist_mode(facts: ServerFacts, _: Wanted) -> Iterator[Finding]:
    for name, stream in _present(facts):
        if stream.config.persist_mode == "async":
            yield Finding(
                check="persist_mode",
                severity=Severity.UNSAFE,
                what=f"stream {name} has persist_mode async",
                why="messages are acknowledged before they are written: even a killed server loses them",
                remedy="Create the stream anew without it: it can't be changed",
            )


def _limits(facts: ServerFacts, _: Wanted) -> Iterator[Finding]:
    """Limits that let the server throw away what nobody has read. Ages are meant to do that, if long enough."""
    for name, stream in _present(facts):
        config = stream.config
        limits = [f"{field} {value}" for field in ("max_msgs", "max_bytes") if (value := getattr(config, field)) > 0]
        if limits and config.discard == "old":
            yield Finding(
                check="limits",
                severity=Severity.UNSAFE,
                what=f"stream {name} has {' and '.join(limits)} with discard old",
                why="when it is full the oldest messages are dropped without a word",
                remedy=f"Run: nats stream edit {name} --max-msgs=-1 --max-bytes=-1",
            )
        if 0 < config.max_msg_size < LEAST_MAX_PAYLOAD:
            yield Finding(
                check="max_msg_size",
                severity=Severity.UNSAFE,
                what=f"stream {name} takes messages of at most {config.max_msg_size} bytes",
                why=f"events can have {LEAST_MAX_PAYLOAD}; a plan that needs more would wait for ever",
                remedy=f"Run: nats stream edit {name} --max-msg-size=-1",
            )


def _ages(facts: ServerFacts, _: Wanted) -> Iterator[Finding]:
    for one, other in pairwise(_WITHOUT_WHICH_PLANS_ARE_LOST):
        first, second = facts.streams.get(one), facts.streams.get(other)
        if first is not None and second is not None and _age(first) > _age(second):
            yield Finding(
                check="ages",
                severity=Severity.UNSAFE,
                what=f"stream {one} keeps messages longer than {other} does",
                why="an executor that takes a plan over needs its whole log, and the data that it names",
                remedy=f"Run: nats stream edit {other} --max-age=… with at least the age of {one}",
            )


def _missing_streams(facts: ServerFacts, _: Wanted) -> Iterator[Finding]:
    known = {name: facts.streams[name] for name in _WITHOUT_WHICH_PLANS_ARE_LOST if name in facts.streams}
    missing = sorted(name for name, stream in known.items() if stream is None)
    if missing and any(known.values()):
        yield Finding(
            check="missing streams",
            severity=Severity.UNSAFE,
            what=f"stream {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing, others are there",
            why="what lay in there is lost: plans under way without their log begin anew, data is gone",
            remedy="Restore a backup before executors start, or let them create it empty",
        )


def _shared_consumer(facts: ServerFacts, wanted: Wanted) -> Iterator[Finding]:
    if facts.consumer is None:
        return
    present = facts.consumer.config
    lease_ms, wanted_ms = present.ack_wait * 1000 // NANOSECONDS, round(wanted.lease_seconds * 1000)
    for variable, is_now, becomes in (
        ("LEADPLAN_LEASE_MS", lease_ms, wanted_ms),
        ("LEADPLAN_MAX_PLANS_IN_QUEUE_GROUP", present.max_ack_pending, wanted.max_ack_pending),
    ):
        if is_now != becomes:
            yield Finding(
                check="shared consumer",
                severity=Severity.NOTICE,
                what=f"{variable} is {becomes} here, and {is_now} for the executors until now",
                why="all executors share one consumer: this start changes it for all of them",
                remedy="Give all executors the same value",
            )


def _room(facts: ServerFacts, _: Wanted) -> Iterator[Finding]:
    if facts.account is None:
        return
    limit, used = facts.account.limits.max_storage, facts.account.storage
    if limit > 0 and used > _NEARLY_FULL * limit:
        yield Finding(
            check="room",
            severity=Severity.NOTICE,
            what=f"{used} of {limit} bytes that this account may store are used",
            why="when they are, submissions are refused and plans stand still",
            remedy="Raise the account's limit, or shorten the ages of the streams",
        )


def _present(facts: ServerFacts) -> Iterator[tuple[str, StreamFacts]]:
    for name, stream in facts.streams.items():
        if stream is not None:
            yield name, stream


def _age(stream: StreamFacts) -> float:
    return stream.config.max_age or float("inf")


_CHECKS: tuple[Callable[[ServerFacts, Wanted], Iterator[Finding]], ...] = (
    _version,
    _feature_flags,
    _max_payload,
    _persist_mode,
    _limits,
    _ages,
    _missing_streams,
    _sync,
    _cluster_size,
    _replicas,
    _clocks,
    _shared_consumer,
    _room,
)
