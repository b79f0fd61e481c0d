"""Checks of single requests and their replies."""

import asyncio
from typing import Any

from leadplan_cli.conformance.announcement_checks import SchemaError, misfit, schema_validators
from leadplan_cli.conformance.exchanges import Answer
from leadplan_cli.conformance.probe import Probe
from leadplan_cli.conformance.results import Finding, failed, not_checked, ok
from leadplan_contracts.wire import encode

_NOT_JSON = (b"", b"no JSON", b"[]", b'{"planId": 7}', b"\xff\xfe")
_SOON_SECONDS = 1.0
_REPLY_FORM = 'send {"success": true, "data": …} or {"success": false, "errorMessage": …, "errorCode": …} as UTF-8 JSON'


async def answers_a_valid_request(probe: Probe) -> Finding:
    """A valid request gets a valid final reply in time."""
    answer = probe.first_answer
    if answer.reply is None:
        return failed(f"a valid request got {answer.problem}", _REPLY_FORM)
    if not answer.reply.success:
        return ok(f"{answer.described} (give --params that succeed, and more is checked)")
    return ok(f"success after {probe.first_seconds * 1000:.0f} ms")


async def ignores_unknown_fields(probe: Probe) -> Finding:
    """Fields that this version doesn't know, and null for absent, change nothing."""
    request = probe.request()
    request |= {"addedLater": {"a": [1, 2]}, "note": None}
    request["user"] = {**request["user"], "addedLater": True, "email": None}
    request["plan"] = {**request["plan"], "addedLater": [], "deadlineMs": None}
    answer = await probe.ask(request)
    if answer.reply is None:
        return failed(f"a request with an unknown field got {answer.problem}", "ignore fields that you don't know")
    return _same_as_first(probe, answer, "with unknown fields", "ignore fields that you don't know")


async def reports_an_error(probe: Probe) -> Finding:
    """Params that make the tool fail get a complete error."""
    if probe.error_params is None:
        return not_checked("no --error-params given", "give params that make the tool report an error")
    answer = await probe.ask(probe.request(probe.error_params))
    if answer.reply is None:
        return failed(f"--error-params got {answer.problem}", _REPLY_FORM)
    if answer.reply.success:
        return failed("--error-params got success", "give params that make the tool report an error")
    if lacking := _lacking(answer):
        return failed(f"the error has no {lacking}", f"add {lacking}: people and programs go by it")
    wait_ms = answer.reply.retry_after_ms
    when = "not to be repeated" if answer.reply.retryable is False else f"to be repeated after {wait_ms or 0} ms"
    return ok(f"{answer.described} ({when})")


async def refuses_params_that_do_not_fit(probe: Probe) -> Finding:
    """Params that don't fit the announced schema get an error that says not to repeat them."""
    try:
        validators = schema_validators(probe)
    except ModuleNotFoundError:
        return not_checked("this check needs jsonschema", "pip install 'leadplan[executor]'")
    except SchemaError:
        return not_checked("the announced schema can't be used")
    if not validators:
        return not_checked("no schema is announced")
    wrong = [one for one in _other_params(probe.params) if all(misfit(validator, one) for validator in validators)]
    if not wrong:
        return not_checked("the announced schema takes every params that were tried")
    answer = await probe.ask(probe.request(wrong[0]))
    tried = encode(wrong[0]).decode()
    if answer.reply is None:
        return failed(
            f"params that don't fit ({tried:.60}) got {answer.problem}", "answer an error, errorCode invalid_params"
        )
    if answer.reply.success:
        return failed(
            f"params that don't fit ({tried:.60}) got success", "check params, or announce what you really take"
        )
    if answer.reply.retryable is not False:
        return failed(
            f"{answer.described}; it may be repeated", 'add "retryable": false: the same params never fit later'
        )
    if lacking := _lacking(answer):
        return failed(f"the error has no {lacking}", f"add {lacking}: people and programs go by it")
    return ok(answer.described)


async def survives_what_is_no_request(probe: Probe) -> Finding:
    """Messages that are no requests get an error or nothing, and the next request is answered."""
    exchanges = [await probe.send(body) for body in _NOT_JSON]
    answers = await asyncio.gather(*(exchange.answer(_SOON_SECONDS) for exchange in exchanges))
    for body, exchange, answer in zip(_NOT_JSON, exchanges, answers, strict=True):
        if answer.reply is not None and answer.reply.success:
            return failed(f"{body!r}, which is no request, got success", "answer an error, errorCode bad_request")
        if exchange.finals and answer.reply is None and not answer.is_service_error:
            return failed(f"{body!r}, which is no request, got {answer.problem}", _REPLY_FORM)
    answered = sum(bool(exchange.finals) for exchange in exchanges)
    following = await probe.ask(probe.request())
    if following.reply is None:
        return failed(
            f"after a message that is no request, a valid one got {following.problem}",
            "catch what reading a request raises, and go on",
        )
    return ok(f"{answered} of {len(exchanges)} answered with an error, and the next request as ever")


def _same_as_first(probe: Probe, answer: Answer, condition: str, advice: str) -> Finding:
    """Whether a variant of the first request was answered like it."""
    first = probe.first_answer.reply
    reply = answer.reply
    if first is None or reply is None or reply.success == first.success:
        return ok(f"{answer.described} {condition}")
    if reply.retryable is not False:
        return not_checked(f"{condition}: {answer.described}", "it may pass: try again")
    return failed(f"{condition}: {answer.described}; without: {probe.first_answer.described}", advice)


def _lacking(answer: Answer) -> str:
    reply = answer.reply
    if reply is None or reply.success or answer.is_busy:
        return ""
    return "errorMessage" if not reply.error_message else "errorCode" if not reply.error_code else ""


def _other_params(params: dict[str, Any]) -> list[dict[str, Any]]:
    """Params that a strict schema doesn't take, the plainest first."""
    wrong_types = [{**params, key: {"unexpected": [None]}} for key in params]
    return [{**params, "notAParamOfAnyTool": {"unexpected": [None]}}, *wrong_types, {}]
