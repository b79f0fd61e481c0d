"""Which tools are announced, and whether a plan's params fit their schemas (protocol sections 2 and 5).

Announcements come from outside and are never trusted: a schema that is no valid JSON Schema is left aside with a
warning, and references to other documents are not fetched.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import structlog
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from nats.aio.client import Client
from nats.errors import Error as NatsError
from referencing import Registry
from referencing.exceptions import Unresolvable

from leadplan_bus.discovery import AnnouncedTool, discover_tools
from leadplan_contracts import LeadGenPlan, PlanProblem
from leadplan_contracts.error_codes import RejectionCode

log = structlog.get_logger(__name__)

_LONGEST_MESSAGE = 300
_MAX_PROBLEMS_A_STEP = 20
_STEPS_AT_A_TIME = 50
_MOST_NAMES = 10_000


class ToolDirectory:
    """What the responders announce, read again and again in the background.

    Args:
        nc: the connection.
        interval_seconds: how often to read it.
    """

    def __init__(self, nc: Client, interval_seconds: float) -> None:
        self._nc = nc
        self._interval_seconds = interval_seconds
        self._validators: dict[str, list[Draft202012Validator]] = {}
        self._by_schema: dict[tuple[str, str], Draft202012Validator | None] = {}
        self._asked_for: set[str] = set()
        self._refreshing: asyncio.Task[None] | None = None

    async def keep_current(self) -> None:
        """Read the announcements until cancelled."""
        try:
            while True:
                await self._refresh()
                await asyncio.sleep(self._interval_seconds)
        finally:
            if self._refreshing is not None:
                self._refreshing.cancel()

    async def find_param_problems(self, plan: LeadGenPlan) -> list[PlanProblem]:
        """Every place where a step's params fit none of the schemas that its tool's responders announce.

        A tool that nobody announces is no problem here: a plain subscriber may serve it.
        """
        tools = {step.tool for step in plan.steps}
        if not tools <= self._asked_for:
            if len(self._asked_for) > _MOST_NAMES:
                self._asked_for = set()  # names come from plans, and plans may name anything: asked for anew
            self._asked_for |= tools
            await self._wait_for_reading()  # it may have begun before the tool was there: it tells nothing of it
            await self._refresh()
        problems: list[PlanProblem] = []
        for index, step in enumerate(plan.steps):
            if index % _STEPS_AT_A_TIME == _STEPS_AT_A_TIME - 1:
                await asyncio.sleep(0)  # other plans have their turn while a large one is checked
            problems += _param_problems(
                step.params, self._validators.get(step.tool, ()), f"plan.steps[{index}].params", step.tool
            )
        return problems

    async def _refresh(self) -> None:
        """Read the announcements; callers at the same moment share one reading."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._read(), name="tool discovery")
        await asyncio.shield(self._refreshing)

    async def _wait_for_reading(self) -> None:
        if self._refreshing is not None and not self._refreshing.done():
            await asyncio.shield(self._refreshing)

    async def _read(self) -> None:
        try:
            announced = await discover_tools(self._nc)
        except NatsError as error:
            log.warning("tool discovery failed", problem=repr(error))
            return
        self._asked_for |= {tool.tool for tool in announced}
        schemas = {(one.tool, repr(one.params_schema)): one for one in announced}
        # Checking a schema takes some milliseconds, and most announcements are those of the time before.
        self._by_schema = {
            schema: self._by_schema[schema] if schema in self._by_schema else _validator(one)
            for schema, one in schemas.items()
        }
        validators: dict[str, list[Draft202012Validator]] = {}
        for (tool, _), validator in self._by_schema.items():
            if validator is not None:
                validators.setdefault(tool, []).append(validator)
        self._validators = validators


def _validator(announced: AnnouncedTool) -> Draft202012Validator | None:
    if announced.params_schema is None:
        return None
    try:
        Draft202012Validator.check_schema(announced.params_schema)
    except (SchemaError, RecursionError) as error:
        reason = error.message if isinstance(error, SchemaError) else "nested too deeply"
        log.warning("announced schema is left aside", tool=announced.tool, service=announced.service, problem=reason)
        return None
    return Draft202012Validator(announced.params_schema, registry=Registry())


def _param_problems(params: Any, validators: Sequence[Draft202012Validator], path: str, tool: str) -> list[PlanProblem]:
    """No problem when one schema fits: during a roll-out several versions are announced."""
    problems: list[PlanProblem] = []
    for validator in validators:
        problems = []
        try:
            for error in validator.iter_errors(params):
                where = path + error.json_path.removeprefix("$")
                message = f"{tool}: {error.message}"[:_LONGEST_MESSAGE]
                problems.append(PlanProblem(path=where, code=RejectionCode.INVALID_PARAMS, message=message))
        except (Unresolvable, RecursionError) as error:
            log.warning("announced schema can't be used", tool=tool, problem=type(error).__name__)
            return []
        if not problems:
            return []
    return problems[:_MAX_PROBLEMS_A_STEP]
