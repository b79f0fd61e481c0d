"""Every check fails, with a telling line, for a responder that gets just that wrong."""

import asyncio
import json
import re

import pytest

from leadplan_bus.connection import flush
from leadplan_cli.conformance.checks import CHECKS, Outcome, Probe, run_checks

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}
PARAMS = {"name": "Ada"}


class Responder:
    """Does everything right; the classes below each get one thing wrong."""

    queue = "q"
    subject = "tools.GREET"
    effects = "none"
    schema = json.dumps(SCHEMA)
    seconds = 0.01

    def __init__(self, nc):
        self.nc = nc
        self.counted = 0
        self.greeted = 0
        self.cancelled = set()
        self.tasks = set()

    async def start(self):
        await self.nc.subscribe("tools.GREET", queue=self.queue, cb=self.take)
        await self.nc.subscribe("tools.GREET.cancel", cb=self.take_cancel)
        await self.nc.subscribe("$SRV.INFO", cb=self.tell_info)
        await self.nc.subscribe("$SRV.STATS", cb=self.tell_stats)
        await flush(self.nc)

    def info(self):
        metadata = {"tool": "GREET", "params_schema": self.schema, "effects": self.effects}
        return {"subject": self.subject, "queue_group": self.queue or "q", "metadata": metadata}

    def stats(self):
        return {"num_requests": self.counted}

    async def tell_info(self, message):
        await self.describe(message, self.info())

    async def tell_stats(self, message):
        await self.describe(message, self.stats())

    async def describe(self, message, endpoint):
        answer = {"name": "greeter", "id": "1", "version": "1.0.0", "endpoints": [{"name": "greet", **endpoint}]}
        await message.respond(json.dumps(answer).encode())

    async def take(self, message):
        task = asyncio.create_task(self.handle(message))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def take_cancel(self, message):
        try:
            self.cancelled.add(json.loads(message.data)["idempotencyKey"])
        except ValueError:
            await self.cannot_read_notice()

    async def cannot_read_notice(self):
        """Ignore it."""

    async def handle(self, message):
        self.counted += 1
        try:
            request = json.loads(message.data)
            key = request["idempotencyKey"]
            await self.sign(message, {"progress": 0.5, "message": "half way"})
            await asyncio.sleep(self.seconds)
        except (ValueError, LookupError, TypeError):
            await self.reply(message, self.bad_request())
            return
        if key in self.cancelled:
            await self.reply_cancelled(message)
        else:
            await self.reply(message, self.result(request))

    def result(self, request):
        if set(request["params"]) != {"name"} or not isinstance(request["params"]["name"], str):
            return self.wrong_params()
        return self.greeting(request)

    def greeting(self, request):
        self.greeted += 1
        return {"success": True, "data": {"greeting": "Hello"}}

    def wrong_params(self):
        return {"success": False, "errorMessage": "give a name", "errorCode": "invalid_params", "retryable": False}

    def bad_request(self):
        return {"success": False, "errorMessage": "no request", "errorCode": "bad_request", "retryable": False}

    async def reply_cancelled(self, message):
        await self.reply(
            message, {"success": False, "errorMessage": "cancelled", "errorCode": "cancelled", "retryable": False}
        )

    async def reply(self, message, reply):
        await message.respond(reply if isinstance(reply, bytes) else json.dumps(reply).encode())

    async def sign(self, message, progress):
        await self.nc.publish(message.reply, json.dumps(progress).encode(), headers={"Leadplan-Reply": "working"})


class Silent(Responder):
    async def take(self, message): ...


class AnswersText(Responder):
    def result(self, request):
        return b"Hello Ada"


class AnswersWithoutSuccess(Responder):
    def result(self, request):
        return {"greeting": "Hello"}


class AnswersWithAServiceError(Responder):
    async def handle(self, message):
        await self.nc.publish(
            message.reply, b"", headers={"Nats-Service-Error-Code": "500", "Nats-Service-Error": "oh"}
        )


class ForgetsTheHeader(Responder):
    async def sign(self, message, progress):
        await message.respond(json.dumps(progress).encode())


class AnnouncesAnotherSubject(Responder):
    subject = "greet"


class AnnouncesAnInvalidSchema(Responder):
    schema = json.dumps({"type": "objekt"})


class AnnouncesASchemaThatIsNoJson(Responder):
    schema = "{"


class AnnouncesASchemaThatParamsDoNotFit(Responder):
    schema = json.dumps({"type": "object", "required": ["title"]})


class AnnouncesOtherEffects(Responder):
    effects = "sometimes"


class RefusesUnknownFields(Responder):
    def result(self, request):
        return self.wrong_params() if "addedLater" in request else super().result(request)


class ReportsNoMessage(Responder):
    def wrong_params(self):
        return {"success": False, "errorCode": "invalid_params", "retryable": False}


class LetsWrongParamsBeRepeated(Responder):
    def wrong_params(self):
        return {"success": False, "errorMessage": "give a name", "errorCode": "invalid_params"}


class TakesAnyParams(Responder):
    def result(self, request):
        return self.greeting(request)


class StopsAtABadRequest(Responder):
    broken = False

    def bad_request(self):
        self.broken = True
        return super().bad_request()

    async def reply(self, message, reply):
        if not self.broken:
            await super().reply(message, reply)


class TakesABadRequest(Responder):
    def bad_request(self):
        return {"success": True}


class RepliesAnotherTime(Responder):
    effects = "once"

    def greeting(self, request):
        self.greeted += 1
        return {"success": True, "data": self.greeted}


class IsSilentAboutRepeats(Responder):
    def __init__(self, nc):
        super().__init__(nc)
        self.seen = set()

    async def handle(self, message):
        key = (message.headers or {})["Idempotency-Key"]
        if key not in self.seen:
            self.seen.add(key)
            await super().handle(message)


class ForgetsWhenAPlanIsRetried(Responder):
    effects = "once"

    def greeting(self, request):
        return {"success": True, "data": request.get("round")}


class IsSilentInLaterRounds(Responder):
    async def handle(self, message):
        if b'"round":2' not in message.data:
            await super().handle(message)


class StopsAtABadNotice(Responder):
    stopped = False

    async def cannot_read_notice(self):
        self.stopped = True

    async def reply(self, message, reply):
        if not self.stopped:
            await super().reply(message, reply)


class IsSilentWhenCancelled(Responder):
    seconds = 0.1

    async def reply_cancelled(self, message): ...


class StopsAtAPassedDeadline(Responder):
    stopped = False

    async def reply(self, message, reply):
        if message.data and b'"timeoutMs":1,' in message.data:
            self.stopped = True
        if not self.stopped:
            await super().reply(message, reply)


class HasNoQueueGroup(Responder):
    queue = ""


class HasAnotherQueueGroup(Responder):
    queue = "workers"

    def info(self):
        return {**super().info(), "queue_group": "q"}


class PilesUp(Responder):
    seconds = 0.2

    async def take(self, message):
        await self.handle(message)  # nats-py hands over the next request only then


class IsBusyForAnUnknownTime(Responder):
    seconds = 0.05

    async def handle(self, message):
        if len(self.tasks) > 5:
            await self.reply(message, {"success": False, "errorCode": "busy"})
        else:
            await super().handle(message)


class CountsNothing(Responder):
    def stats(self):
        return {"num_requests": 0}


class HasNoFigures(Responder):
    def stats(self):
        return {}


class GivesASignAfterTheReply(Responder):
    async def reply(self, message, reply):
        await super().reply(message, reply)
        await self.sign(message, {"progress": 1})


class GivesUnreadableSigns(Responder):
    async def sign(self, message, progress):
        await super().sign(message, {"progress": 50})


class RepliesTwice(Responder):
    async def reply(self, message, reply):
        await super().reply(message, reply)
        await super().reply(message, reply)


WRONG = [
    (Silent, "valid request", "no final reply within 0.5 s"),
    (AnswersText, "valid request", "no reply .*Hello Ada"),
    (AnswersWithoutSuccess, "valid request", "missing required field `success`"),
    (AnswersWithAServiceError, "valid request", "micro service error 500: oh"),
    (ForgetsTheHeader, "valid request", "a sign of life needs the header Leadplan-Reply: working"),
    (AnnouncesAnotherSubject, "announcement", "on the subject 'greet'"),
    (AnnouncesAnInvalidSchema, "announced schema", "'objekt' is not valid"),
    (AnnouncesASchemaThatIsNoJson, "announced schema", "no JSON text"),
    (AnnouncesASchemaThatParamsDoNotFit, "announced schema", "'title' is a required property"),
    (AnnouncesOtherEffects, "announced effects", "'sometimes'"),
    (RefusesUnknownFields, "unknown fields", "invalid_params: give a name"),
    (ReportsNoMessage, "error", "no errorMessage"),
    (LetsWrongParamsBeRepeated, "wrong params", "may be repeated"),
    (TakesAnyParams, "wrong params", "got success"),
    (StopsAtABadRequest, "no request", "after a message that is no request"),
    (TakesABadRequest, "no request", "got success"),
    (RepliesAnotherTime, "repeated key", "another reply in attempt 2"),
    (IsSilentAboutRepeats, "repeated key", "attempt 2 with the same key got no final reply"),
    (ForgetsWhenAPlanIsRetried, "repeated key", "another reply in round 2"),
    (IsSilentInLaterRounds, "repeated key", "round 2 with the same key got no final reply"),
    (StopsAtABadNotice, "stray cancel", "after cancel notices"),
    (IsSilentWhenCancelled, "cancel", "a cancelled request got no final reply"),
    (StopsAtAPassedDeadline, "deadline", "after a request with timeoutMs 1"),
    (HasNoQueueGroup, "queue group", "answered by the responder as well"),
    (HasAnotherQueueGroup, "queue group", "answered by the responder as well"),
    (PilesUp, "many at once", "of 20 requests at once got no final reply"),
    (IsBusyForAnUnknownTime, "many at once", "busy without retryAfterMs"),
    (CountsNothing, "figures", "stayed 0"),
    (HasNoFigures, "figures", "no num_requests"),
    (GivesASignAfterTheReply, "signs of life", "after the final reply"),
    (GivesUnreadableSigns, "signs of life", "progress"),
    (RepliesTwice, "one reply", "more than one final reply"),
]


@pytest.fixture(autouse=True)
def brief_waits(monkeypatch):
    """On one machine answers are there within milliseconds."""
    monkeypatch.setattr("leadplan_cli.conformance.announcements._SILENCE_SECONDS", 0.05)
    monkeypatch.setattr("leadplan_cli.conformance.announcement_checks._STATS_SECONDS", 0.3)
    monkeypatch.setattr("leadplan_cli.conformance.request_checks._SOON_SECONDS", 0.2)


@pytest.fixture
def check(nc):
    async def check(*responders, only=None, **options):
        for responder in responders:
            await responder.start()
        given = {"error_params": {"name": 7}, "timeout_ms": 500, **options}
        checks = [one for one in CHECKS if only in (None, one.name)]
        return await run_checks(Probe(nc, "GREET", PARAMS, **given), checks=checks)

    return check


@pytest.mark.parametrize(("responder", "check_name", "said"), WRONG, ids=lambda one: getattr(one, "__name__", None))
async def test_what_is_wrong_is_said(check, nc, responder, check_name, said):
    (result,) = await check(responder(nc), only=check_name)
    assert result.outcome is Outcome.FAILED, result
    assert re.search(said, result.message)
    assert result.advice


def test_every_check_can_fail():
    assert {check_name for _, check_name, _ in WRONG} == {check.name for check in CHECKS}


async def test_nothing_is_wrong_with_one_that_does_everything_right(check, nc):
    assert [result for result in await check(Responder(nc)) if result.outcome is not Outcome.OK] == []


async def test_two_processes_without_a_queue_group_both_answer(check, nc):
    results = {result.check: result for result in await check(HasNoQueueGroup(nc), HasNoQueueGroup(nc))}
    assert results["one reply"].outcome is Outcome.FAILED


@pytest.mark.parametrize(
    "responder", [AnnouncesAnInvalidSchema, HasNoQueueGroup, GivesASignAfterTheReply, RepliesTwice]
)
async def test_one_fault_is_one_failure(check, nc, responder):
    results = await check(responder(nc))
    assert len([result for result in results if result.outcome is Outcome.FAILED]) == 1, results


async def test_of_a_silent_one_nothing_else_is_said(check, nc):
    results = {result.check: result.outcome for result in await check(Silent(nc), timeout_ms=100)}
    assert results.pop("valid request") is Outcome.FAILED
    announced = {name: results.pop(name) for name in list(results) if name.startswith("announce")}
    assert set(announced.values()) == {Outcome.OK}
    assert set(results.values()) == {Outcome.NOT_CHECKED}
