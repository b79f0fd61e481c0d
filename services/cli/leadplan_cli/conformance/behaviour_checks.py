"""Checks of what happens between requests: many at once, the queue group, cancel, the deadline, repeats."""

import asyncio

from nats.aio.msg import Msg

from leadplan_bus.connection import flush, stop_receiving
from leadplan_cli.conformance.exchanges import Exchange, sign_problem
from leadplan_cli.conformance.probe import Probe
from leadplan_cli.conformance.results import Finding, failed, not_checked, ok
from leadplan_contracts import LeadToolExecutionResult, ToolEffects, subjects
from leadplan_contracts.wire import encode

_MOST_TRIES = 24
_ENOUGH_TAKEN = 2
_LATE_SECONDS = 0.3
_BRIEF_SECONDS = 2.0
_SIGN_SECONDS = subjects.SIGN_OF_LIFE_TIMEOUT_MS / 1000
_STRANGERS_BUSY = LeadToolExecutionResult(success=False, error_code="busy", retry_after_ms=50)


async def answers_many_at_once(probe: Probe) -> Finding:
    """Many requests at the same moment all get a result, an error or busy."""
    requests = [probe.request() for _ in range(probe.at_once)]
    exchanges = [await probe.begin(request) for request in requests]
    answers = await asyncio.gather(*(exchange.answer(probe.seconds) for exchange in exchanges))
    silent = [exchange for exchange in exchanges if not exchange.finals]
    if silent:
        return failed(
            f"{len(silent)} of {len(exchanges)} requests at once got no final reply within {probe.seconds:g} s",
            "work on several at once, and answer busy with retryAfterMs when there are too many",
        )
    for answer in answers:
        if answer.reply is None:
            return failed(f"one of {len(answers)} requests at once got {answer.problem}", "send a valid reply")
        if answer.is_busy and answer.reply.retry_after_ms is None:
            return failed("busy without retryAfterMs", "say in retryAfterMs when a place may be free")
    busy = sum(answer.is_busy for answer in answers)
    return ok(f"{len(answers)} at once: {len(answers) - busy} worked on, {busy} answered busy")


async def uses_the_queue_group(probe: Probe) -> Finding:
    """A request that goes to another member of the queue group isn't answered by the responder, too."""
    taken = await _take_some_requests(probe)
    await asyncio.sleep(probe.first_seconds * 2)
    if any(exchange.received for exchange in taken):
        group = subjects.RESPONDER_QUEUE_GROUP
        return failed(
            f"a request that another member of the queue group {group!r} took was answered by the responder as well",
            f"subscribe to {subjects.tool_subject(probe.tool)} with the queue group {group!r}",
        )
    if not taken:
        return not_checked(f"none of {_MOST_TRIES} requests went to another member of the queue group", "try again")
    return ok(f"{len(taken)} requests for another member were left to it")


async def _take_some_requests(probe: Probe) -> list[Exchange]:
    """Join the queue group until it got some of our own requests; it leaves them unanswered."""
    taken: list[Exchange] = []
    news = asyncio.Event()

    async def take(message: Msg) -> None:
        if probe.is_own(message.reply):
            taken.append(probe.exchange_of(message.reply))
            news.set()
        elif message.reply:  # somebody else's request: it is sent again, and comes to the responder then
            await message.respond(encode(_STRANGERS_BUSY))

    subject = subjects.tool_subject(probe.tool)
    member = await probe.nc.subscribe(subject, queue=subjects.RESPONDER_QUEUE_GROUP, cb=take)
    try:
        await flush(probe.nc)
        for _ in range(_MOST_TRIES):
            news.clear()
            exchange = await probe.begin(probe.request())
            either = [asyncio.create_task(exchange.answer(probe.seconds)), asyncio.create_task(news.wait())]
            await asyncio.wait(either, timeout=probe.seconds, return_when=asyncio.FIRST_COMPLETED)
            for task in either:
                task.cancel()
            if len(taken) >= _ENOUGH_TAKEN:
                break
    finally:
        await stop_receiving(probe.nc, member)
        await asyncio.sleep(_LATE_SECONDS)  # what has come in for others is still answered
        await member.unsubscribe()
    return taken


async def survives_stray_cancel_notices(probe: Probe) -> Finding:
    """A notice for a key that isn't running, and one that can't be read, do no harm."""
    await probe.cancel(probe.request())
    await probe.nc.publish(subjects.tool_cancel_subject(probe.tool), b"no JSON")
    answer = await probe.ask(probe.request())
    if answer.reply is None:
        return failed(
            f"after cancel notices that don't concern it, a valid request got {answer.problem}",
            "ignore notices whose key isn't running, and what can't be read",
        )
    return ok(f"{answer.described} after two of them")


async def ends_a_cancelled_request(probe: Probe) -> Finding:
    """A request that is cancelled while it runs still gets its one reply."""
    request = probe.request()
    exchange = await probe.begin(request)
    await exchange.wait_for_any(0.05)  # by then it runs
    before = bool(exchange.finals)
    await probe.cancel(request)
    answer = await exchange.answer(probe.seconds)
    if answer.reply is None:
        return failed(
            f"a cancelled request got {answer.problem}", "answer it, too: errorCode cancelled, retryable false"
        )
    if before:
        return ok("the request was answered before it could be cancelled")
    return ok(answer.described)


async def survives_a_passed_deadline(probe: Probe) -> Finding:
    """A request with hardly any time gets an answer or none, and the next one is answered."""
    exchange = await probe.begin(probe.request(timeoutMs=1))
    answer = await exchange.answer(min(_BRIEF_SECONDS, probe.seconds))
    if exchange.finals and answer.reply is None:
        return failed(f"a request with timeoutMs 1 got {answer.problem}", "send a valid reply or nothing")
    following = await probe.ask(probe.request())
    if following.reply is None:
        return failed(
            f"after a request with timeoutMs 1, a valid one got {following.problem}", "give up late work, and go on"
        )
    return ok(answer.described if exchange.finals else "no answer, and the next request as ever")


async def answers_a_repeated_key(probe: Probe) -> Finding:
    """The same idempotency key again, in a second attempt and in a plan that is retried, gets valid replies.

    It is the same reply each time where effects is once.
    """
    request = probe.request()
    first = await probe.ask(request)
    repeats = {
        "attempt 2": await probe.ask({**request, "attempt": 2}),
        "round 2": await probe.ask({**request, "round": 2}),
    }
    for which, answer in {"attempt 1": first, **repeats}.items():
        if answer.reply is None:
            return failed(f"{which} with the same key got {answer.problem}", "answer every attempt, in every round")
    if first.reply is None or probe.effects != {ToolEffects.ONCE.value}:
        return ok(", then ".join(answer.described for answer in (first, *repeats.values())))
    if not first.reply.success:
        return not_checked(f"effects is once, but the first attempt ended with {first.described}")
    for which, answer in repeats.items():
        if encode(answer.reply) != encode(first.reply):
            return failed(
                f"effects is once, but the same key got another reply in {which}",
                "remember the reply under the idempotency key, and send it again",
            )
    return ok("the same reply each time, as effects once asks for")


async def replies_once(probe: Probe) -> Finding:
    """No request of the whole run got more than one final reply."""
    await asyncio.sleep(_LATE_SECONDS)
    many = [exchange for exchange in probe.exchanges if len(exchange.finals) > 1]
    if many:
        first, second = many[0].finals[:2]
        return failed(
            f"{len(many)} of {len(probe.exchanges)} requests got more than one final reply, such as "
            f"{first.body[:60]!r}, then {second.body[:60]!r} after {(second.at - first.at) * 1000:.0f} ms",
            "send one reply a request; if several processes answer, they aren't in one queue group",
        )
    return ok(f"{sum(bool(exchange.finals) for exchange in probe.exchanges)} requests, one final reply each")


async def gives_valid_signs_of_life(probe: Probe) -> Finding:
    """Signs of life of the whole run are readable, came before the reply, and at least every 15 seconds."""
    signs = 0
    for exchange in probe.exchanges:
        answered = False
        last_sign: float | None = None
        for message in exchange.received:
            if last_sign is not None and not answered and message.at - last_sign > _SIGN_SECONDS:
                return failed(f"{message.at - last_sign:.0f} s without a sign of life", "send one every 5 s")
            if not message.is_sign_of_life:
                answered = True
                continue
            signs += 1
            last_sign = message.at
            if answered:
                return failed("a sign of life came after the final reply", "stop them before you reply")
            if problem := sign_problem(message):
                return failed(
                    f"a sign of life can't be read: {problem}",
                    'send nothing, or {"progress": 0 to 1, "message": text} as UTF-8 JSON',
                )
    if not signs:
        return not_checked("there were none", "optional: with them a dead responder is noticed after 15 s")
    return ok(f"{signs} signs of life")
