"""What the facts on an installation mean for its plans, and what to do."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

from leadplan_bus.server_checks import CLOCKS_MAY_DIFFER_SECONDS, Finding, Severity, Wanted, check_server
from leadplan_bus.server_facts import NANOSECONDS
from leadplan_bus.topology import STREAMS, Retention, missing_subjects, stream_differences
from leadplan_cli.doctor.check import Check, Outcome, notice, ok, problem
from leadplan_cli.doctor.facts import Installation
from leadplan_cli.plan_lines import number_of
from leadplan_contracts.subjects import EXECUTORS_CONSUMER, PLANS_STREAM

_START_AN_EXECUTOR = "Start one: leadplan executor"
_NEARLY_FULL = 0.9
_OUTCOMES = {
    Severity.UNSAFE: Outcome.PROBLEM,
    Severity.NOTICE: Outcome.NOTICE,
    Severity.UNKNOWN: Outcome.UNKNOWN,
}


def check_installation(facts: Installation) -> list[Check]:
    """Every check, in the order in which one depends on the other."""
    return [check for look in _LOOKS for check in look(facts)]


def _server(facts: Installation) -> Iterator[Check]:
    limit = facts.server.max_payload
    nodes = number_of(len(facts.server.nodes), "node") if facts.server.clustered else "no cluster"
    what = f"nats-server {facts.version} answers at {facts.address} ({nodes}, max_payload {limit})"
    yield ok("server", what)


def _jetstream(facts: Installation) -> Iterator[Check]:
    account = facts.server.account
    if account is None:
        remedy = "Start nats-server with -js or a jetstream block, and allow JetStream for this user's account"
        yield problem("jetstream", "JetStream doesn't answer on this server and account", remedy)
        return
    limit = f"of {account.limits.max_storage} " if account.limits.max_storage > 0 else ""
    yield ok("jetstream", f"JetStream is on (API level {account.api.level}, {account.storage} {limit}bytes stored)")


def _fitness(facts: Installation) -> Iterator[Check]:
    """What executors check at their start, with what is there taken for what is wanted."""
    consumer, plans = facts.server.consumer, facts.streams.get(PLANS_STREAM)
    wanted = Wanted(
        replicas=(plans.num_replicas or 1) if plans is not None else 1,
        lease_seconds=consumer.config.ack_wait / NANOSECONDS if consumer else 0,
        max_ack_pending=consumer.config.max_ack_pending if consumer else 0,
    )
    # Without JetStream, or before the first executor, most findings would be the same news again.
    server = facts.server if facts.server.account is not None else replace(facts.server, streams={})
    findings = [finding for finding in check_server(server, wanted) if finding.check != "missing streams"]
    for finding in findings:
        yield _found(finding)
    if not any(finding.severity is Severity.UNSAFE for finding in findings):
        yield ok("settings", "nothing unsafe is seen in the server's version, limits, replicas and flags")


def _found(finding: Finding) -> Check:
    return Check(finding.check, _OUTCOMES[finding.severity], f"{finding.what}: {finding.why}", f"{finding.remedy}.")


def _clock(facts: Installation) -> Iterator[Check]:
    if not facts.server.nodes:
        return
    ahead = max((node.clock_ahead_seconds for node in facts.server.nodes), key=abs)
    if abs(ahead) <= CLOCKS_MAY_DIFFER_SECONDS:
        yield ok("clock", f"the server's clock and this machine's differ by {abs(ahead):.2f} s")


def _streams(facts: Installation) -> Iterator[Check]:
    if facts.server.account is None:
        return
    if facts.streams and not any(facts.streams.values()):
        yield problem("streams", "there are no streams: no executor ever ran here", f"{_START_AN_EXECUTOR}.")
        return
    well = 0
    for make in STREAMS:
        wanted = make(Retention())
        name = str(wanted.name)
        if name not in facts.streams:
            yield Check("streams", Outcome.UNKNOWN, f"stream {name} can't be asked about", "Allow $JS.API.STREAM.INFO.")
            continue
        present = facts.streams[name]
        if present is None:
            remedy = "An executor creates it, empty, when it starts; what lay in it is to be had from a backup only."
            yield problem("streams", f"stream {name} is missing", remedy)
        elif missing := missing_subjects(present, wanted):
            what = f"stream {name} lacks {', '.join(missing)}: an earlier version made it"
            yield problem("streams", what, "Start an executor of this version, which adds them.")
        elif differences := stream_differences(present, wanted):
            remedy = f"Change it back: nats stream edit {name}; executors don't start with it."
            yield problem("streams", f"stream {name}: {'; '.join(differences)}", remedy)
        else:
            well += 1
    if well == len(STREAMS):
        yield ok("streams", f"all {well} streams and buckets are there, as they should be")


def _executors(facts: Installation) -> Iterator[Check]:
    if not facts.executors:
        what = "no executor answers: plans wait in the queue, and nothing can be steered"
        yield problem("executors", what, f"{_START_AN_EXECUTOR}; if one runs, is it on this server and account?")
        return
    versions = Counter(one.version for one in facts.executors)
    said = f"{number_of(len(facts.executors), 'executor')} at work, version {', '.join(sorted(versions))}"
    if len(versions) > 1:
        yield notice("executors", said, "Finish the roll-out: older ones may not know what newer ones wrote.")
    else:
        yield ok("executors", said)


def _queue(facts: Installation) -> Iterator[Check]:
    if not facts.streams.get(PLANS_STREAM):
        return
    for name, consumer in facts.consumers.items():
        if consumer is None:
            yield problem("queue", f"consumer {name} is missing on {PLANS_STREAM}", f"{_START_AN_EXECUTOR}.")
            continue
        limit, under_way = consumer.config.max_ack_pending, consumer.num_ack_pending
        if consumer.paused:
            remedy = f"Let it go on: nats consumer resume {PLANS_STREAM} {name}"
            yield problem("queue", f"consumer {name} is paused: no plans are taken", remedy)
        elif 0 < limit * _NEARLY_FULL <= under_way:
            what = f"{under_way} of at most {limit} are under way at consumer {name}, and others wait"
            yield problem("queue", what, "Raise LEADPLAN_MAX_PLANS_IN_QUEUE_GROUP, the same for all executors.")
        elif name == EXECUTORS_CONSUMER:
            yield _backlog(under_way, limit, consumer.num_pending, bool(facts.executors))


def _backlog(under_way: int, limit: int, waiting: int, served: bool) -> Check:
    what = f"{number_of(under_way, 'plan')} under way (at most {limit}), {waiting} not yet handed out"
    if waiting and served:
        remedy = "Where that lasts, start more executors, or raise LEADPLAN_MAX_PLANS."
        return notice("queue", what, remedy)
    return ok("queue", what)


def _tools(facts: Installation) -> Iterator[Check]:
    if not facts.tools:
        remedy = "Start those that your plans need: leadplan tool NAME. Plain subscribers announce nothing."
        yield notice("tools", "nobody announces a tool", remedy)
    else:
        listed = ", ".join(f"{one.tool} ({len(one.instances)})" for one in facts.tools)
        yield ok("tools", f"{number_of(len(facts.tools), 'tool')} served: {listed}")
    for one in facts.tools:
        if one.requests and one.errors and one.errors == one.requests:
            yield notice(
                "tools",
                f"{one.tool}: all {number_of(one.requests, 'request')} went wrong",
                f"Look at the last error: leadplan tools {one.tool}",
            )
    yield from _tools_needed(facts)


def _tools_needed(facts: Installation) -> Iterator[Check]:
    served = {one.tool for one in facts.tools}
    needed: dict[str, list[str]] = {}
    for plan in facts.queued:
        for tool in sorted(plan.tools - served):
            needed.setdefault(tool, []).append(plan.plan_id)
    for tool, plans in sorted(needed.items()):
        others = f" and {len(plans) - 1} more" if len(plans) > 1 else ""
        what = f"{tool} is needed by plan {plans[0]}{others} in the queue, and nobody announces it"
        yield problem("tools", what, f"Start it: leadplan tool {tool}; or is the name wrong? leadplan graph {plans[0]}")


_LOOKS: tuple[Callable[[Installation], Iterator[Check]], ...] = (
    _server,
    _jetstream,
    _fitness,
    _clock,
    _streams,
    _executors,
    _queue,
    _tools,
)
