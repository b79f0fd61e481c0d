"""Which tools are served, and whether a plan's tools and params fit that (protocol sections 2 and 5).

Announcements come from outside and are never trusted: a schema that is no valid JSON Schema is left aside with a
warning, and references to other documents are not fetched.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

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
from leadplan_contracts.tool_protocol import ToolEffects
from leadplan_executor.near_matches import did_you_mean, near_matches
from leadplan_executor.served_tools import ServedTool, ServedTools

log = structlog.get_logger(__name__)

ATTEMPT: Final = "attempt"
"""Steps of tools that nobody announces are tried: a plain subscriber may serve them."""
REJECT: Final = "reject"
"""Plans with such steps are rejected."""

_LONGEST_MESSAGE = 300
_MAX_PROBLEMS_A_STEP = 20
_STEPS_AT_A_TIME = 50
_MOST_NAMES = 10_000
_MOST_SUGGESTIONS = 20
_REMEMBERED_READINGS = 3
_PATIENTLY = {"longest": 3.0, "silence": 1.0}
"""How all are asked before a tool is said to be unknown: a busy responder may answer late."""


class ToolDirectory:
    """What the responders announce, read again and again in the background.

    Args:
        nc: the connection.
        interval_seconds: how often to read it.
        unknown_tools: ``attempt`` or ``reject``.
    """

    def __init__(self, nc: Client, interval_seconds: float, unknown_tools: str = ATTEMPT) -> None:
        self.unknown_tools = unknown_tools
        self._nc = nc
        self._interval_seconds = interval_seconds
        self._tools = ServedTools(nc, interval_seconds * _REMEMBERED_READINGS)
        self._validators: dict[str, list[Draft202012Validator]] = {}
        self._without_effects: frozenset[str] = frozenset()
        self._by_schema: dict[tuple[str, str], Draft202012Validator | None] = {}
        self._asked_for: set[str] = set()
        self._reading = asyncio.Lock()
        self._to_begin: dict[bool, asyncio.Task[bool]] = {}
        self._tasks: set[asyncio.Task[bool]] = set()

    def served(self) -> Mapping[str, ServedTool]:
        """The tools that somebody announces, by name, as of the last reading; it isn't changed by later ones.

        An instance that is gone is missing from the next reading on. One that merely answers slowly is not.
        """
        return self._tools.by_name

    def changes_nothing(self, tool: str) -> bool:
        """Whether all who serve the tool announced at the last reading that it has no effects."""
        return tool in self._without_effects

    async def keep_current(self) -> None:
        """Read the announcements until cancelled."""
        try:
            while True:
                await self._read_anew()
                await asyncio.sleep(self._interval_seconds)
        finally:
            self._to_begin.clear()
            for task in self._tasks:
                task.cancel()

    async def find_tool_problems(self, plan: LeadGenPlan) -> list[PlanProblem]:
        """Every place where a step's params fit none of the schemas that its tool's responders announce.

        Where unknown tools are to be rejected, also every step whose tool nobody announces. Else that is no problem.

        Raises:
            nats.errors.Error: it can't be found out whether a tool is served.
        """
        tools = {step.tool for step in plan.steps}
        if not tools <= self._asked_for:
            if len(self._asked_for) > _MOST_NAMES:
                self._asked_for = set()  # names come from plans, and plans may name anything: asked for anew
            self._asked_for |= tools
            await self._read_anew()
        unserved = await self.find_unserved(tools) if self.unknown_tools == REJECT else {}
        problems: list[PlanProblem] = []
        for index, step in enumerate(plan.steps):
            if index % _STEPS_AT_A_TIME == _STEPS_AT_A_TIME - 1:
                await asyncio.sleep(0)  # other plans have their turn while a large one is checked
            if (near := unserved.get(step.tool)) is not None:
                problems.append(_unknown_tool(index, step.tool, near))
            problems += _param_problems(
                step.params, self._validators.get(step.tool, ()), f"plan.steps[{index}].params", step.tool
            )
        return problems

    async def find_unserved(self, tools: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Those of the tools that nobody announces, each with the names of served ones that are like it.

        Before a tool is called unserved, all are asked again, with patience; one that was seen a moment ago is none.

        Raises:
            nats.errors.Error: nobody could be asked.
        """
        unknown = [tool for tool in tools if not self._tools.is_known(tool)]
        if unknown:
            if not await self._read_anew(patiently=True):
                raise NatsError("nats: nobody could be asked which tools are served")
            unknown = [tool for tool in unknown if not self._tools.is_known(tool)]
        found: dict[str, tuple[str, ...]] = {}
        for tool in sorted(unknown):
            await asyncio.sleep(0)
            found[tool] = near_matches(tool, self._tools.by_name) if len(found) < _MOST_SUGGESTIONS else ()
        return found

    async def _read_anew(self, *, patiently: bool = False) -> bool:
        """Read the announcements; callers share a reading that hasn't begun yet.

        One that is under way may have begun before a tool was there: it tells nothing of it.

        Returns:
            Whether it could be read.
        """
        task = self._to_begin.get(patiently)
        if task is None:
            task = self._to_begin[patiently] = asyncio.create_task(self._read(patiently), name="tool discovery")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def _read(self, patiently: bool) -> bool:
        async with self._reading:
            self._to_begin.pop(patiently, None)  # who comes from here on needs a later one
            try:
                await self._tools.take(await discover_tools(self._nc, **(_PATIENTLY if patiently else {})))
            except NatsError as error:
                log.warning("tool discovery failed", problem=repr(error))
                return False
            self._asked_for |= self._tools.by_name.keys()
            self._make_validators()
            self._without_effects = frozenset(
                name
                for name, tool in self._tools.by_name.items()
                if all(one.effects == ToolEffects.NONE for one in tool.instances)
            )
            return True

    def _make_validators(self) -> None:
        announced = [one for tool in self._tools.by_name.values() for one in tool.instances]
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


def _unknown_tool(index: int, tool: str, near: tuple[str, ...]) -> PlanProblem:
    message = f"nobody serves {tool}{did_you_mean(near) or ': correct the name, or start the tool first'}"
    return PlanProblem(path=f"plan.steps[{index}].tool", code=RejectionCode.UNKNOWN_TOOL, message=message)


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
