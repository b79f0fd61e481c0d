"""Checks of what a responder announces: tool, schema, effects, figures."""

import asyncio
import time
from typing import TYPE_CHECKING, Any

from leadplan_cli.conformance.announcements import count_requests
from leadplan_cli.conformance.probe import Probe
from leadplan_cli.conformance.results import Finding, failed, not_checked, ok
from leadplan_contracts import ToolEffects, subjects

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

_NOT_ANNOUNCED = "no instance announces the tool"
_HOW_TO_ANNOUNCE = (
    "optional: serve it as a NATS micro service whose endpoint has the metadata tool, params_schema and effects"
)
_STATS_SECONDS = 2.0
_NO_JSON_SCHEMA = "this check needs jsonschema, which isn't installed: pip install 'leadplan[executor]'"


class SchemaError(Exception):
    """An announced schema can't be used; the message says why."""


async def announces_itself(probe: Probe) -> Finding:
    """$SRV.INFO names the tool, its subject and the queue group."""
    if not probe.announcements:
        return not_checked(_NOT_ANNOUNCED, _HOW_TO_ANNOUNCE)
    subject = subjects.tool_subject(probe.tool)
    for one in probe.announcements:
        if one.subject != subject:
            return failed(
                f"{one.service} announces {probe.tool} on the subject {one.subject!r}", f"serve it on {subject}"
            )
        if one.queue_group not in (None, subjects.RESPONDER_QUEUE_GROUP):
            return failed(
                f"{one.service} announces the queue group {one.queue_group!r}",
                f"use the queue group {subjects.RESPONDER_QUEUE_GROUP!r}, as all responders do",
            )
    services = ", ".join(sorted({one.service for one in probe.announcements}))
    return ok(f"{len(probe.announcements)} instance(s) of {services}")


async def announces_a_valid_schema(probe: Probe) -> Finding:
    """The announced params_schema is JSON Schema 2020-12, and the given params fit it."""
    if not probe.announcements:
        return not_checked(_NOT_ANNOUNCED, _HOW_TO_ANNOUNCE)
    if all(one.params_schema is None for one in probe.announcements):
        return not_checked("no params_schema is announced", "optional: with one, plans are checked before they start")
    try:
        validators = schema_validators(probe)
    except ModuleNotFoundError:
        return not_checked(_NO_JSON_SCHEMA)
    except SchemaError as error:
        return failed(f"params_schema can't be used: {error}", "announce JSON Schema 2020-12 as compact JSON text")
    misfits = [misfit(validator, probe.params) for validator in validators]
    if all(misfits):
        return failed(
            f"--params don't fit the announced schema: {misfits[0]}",
            "correct --params or the schema: a plan with such params is rejected before it starts",
        )
    return ok("valid JSON Schema, and --params fit it")


async def announces_its_effects(probe: Probe) -> Finding:
    """The announced effects are one of the three."""
    if not probe.announcements:
        return not_checked(_NOT_ANNOUNCED, _HOW_TO_ANNOUNCE)
    known = [effects.value for effects in ToolEffects]
    wrong = [one.effects for one in probe.announcements if one.effects not in known]
    if wrong:
        return failed(f"effects is {wrong[0]!r}", f"announce one of {', '.join(known)}")
    if len(probe.effects) > 1:
        return failed(
            f"instances announce different effects: {', '.join(sorted(probe.effects))}", "stop those that are wrong"
        )
    return ok(next(iter(probe.effects)))


async def counts_its_requests(probe: Probe) -> Finding:
    """The figures in $SRV.STATS grow with each request."""
    if not probe.announcements:
        return not_checked(_NOT_ANNOUNCED, _HOW_TO_ANNOUNCE)
    before = await count_requests(probe.nc, probe.announcements)
    if before is None:
        return failed("$SRV.STATS has no num_requests of the tool's endpoint", "answer $SRV.STATS as ADR-32 says")
    await probe.ask(probe.request())
    give_up_at = time.monotonic() + _STATS_SECONDS
    while True:  # a responder may count after it has answered
        after = await count_requests(probe.nc, probe.announcements)
        if after is not None and after > before:
            return ok(f"num_requests went from {before} to {after} with a request")
        if time.monotonic() > give_up_at:
            return failed(f"num_requests stayed {before} over a request", "count each request in num_requests")
        await asyncio.sleep(0.05)


def schema_validators(probe: Probe) -> "list[Draft202012Validator]":
    """A validator for each schema that is announced.

    Raises:
        ModuleNotFoundError: jsonschema isn't installed.
        SchemaError: a schema is none.
    """
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - of an extra that need not be installed
    from jsonschema.exceptions import SchemaError as InvalidSchemaError  # noqa: PLC0415
    from referencing import Registry  # noqa: PLC0415

    validators = []
    for one in probe.announcements:
        if one.params_schema is None:
            continue
        try:
            schema = one.schema
            Draft202012Validator.check_schema(schema)
        except ValueError as error:
            raise SchemaError(f"no JSON text: {error}") from None
        except InvalidSchemaError as error:
            raise SchemaError(f"{error.json_path}: {error.message}") from None
        except RecursionError:
            raise SchemaError("it is nested too deeply") from None
        validators.append(Draft202012Validator(schema, registry=Registry()))
    return validators


def misfit(validator: "Draft202012Validator", params: Any) -> str:
    """Why the params don't fit; empty when they do.

    A reference that leads nowhere counts as no fit: executors leave such a schema aside.
    """
    from referencing.exceptions import Unresolvable  # noqa: PLC0415 - comes with jsonschema

    try:
        for error in validator.iter_errors(params):
            return f"params{error.json_path[1:]}: {error.message}"
    except (Unresolvable, RecursionError) as error:
        return f"a reference of the schema leads nowhere ({type(error).__name__})"
    return ""
