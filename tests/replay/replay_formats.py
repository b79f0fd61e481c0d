"""What is stored, field by field: names, types and which fields must be there, told from the models themselves.

A format is a flat table: for each path, such as ``event[STEP_RETRYING].meta.delayMs``, the types that it takes and
whether it may be absent. Two tables are compared without knowing anything of the models.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import msgspec
from msgspec import inspect

from leadplan_contracts import LeadGenStepResult, LeadPlanEventPayload, PlanSubmission
from leadplan_contracts.recurrence import RecurringRuns
from leadplan_contracts.wire import encode
from leadplan_executor.control_messages import REQUEST_MODELS, WakeMessage
from leadplan_executor.core.takeovers import TakeOvers
from leadplan_executor.plan_index import PlanIndexEntry
from leadplan_responder.checkpoint import Item
from leadplan_responder.result_memory import Record

STORED: Mapping[str, Any] = {
    "event": LeadPlanEventPayload,
    "submission": PlanSubmission,
    "step results": list[LeadGenStepResult],
    "wake": WakeMessage,
    **{f"{endpoint} request": model for endpoint, model in REQUEST_MODELS.items()},
    "PLAN_TAKEOVERS": TakeOvers,
    "PLAN_INDEX": PlanIndexEntry,
    "MONITOR_RUNS": RecurringRuns,
    "TOOL_RESULTS": Record,
    "TOOL_CHECKPOINTS": Item,
}
"""Everything that one version stores and another one may find, and the model that reads it."""


class Field(NamedTuple):
    """What a path takes: its types as texts, and whether it must be there."""

    types: list[str]
    required: bool


Format: TypeAlias = dict[str, Field]


def present_format() -> Format:
    """The format of this version."""
    return {path: field for name, model in STORED.items() for path, field in _fields(name, inspect.type_info(model))}


def _fields(path: str, told: inspect.Type) -> Iterator[tuple[str, Field]]:
    for one in _members(told):
        if isinstance(one, inspect.StructType):
            tagged = f"{path}[{one.tag}]" if one.tag is not None else path
            if one.tag is not None:
                yield tagged, Field(["object"], required=False)
            for field in one.fields:
                inner = f"{tagged}.{field.encode_name}"
                yield inner, Field(_types(field.type), field.required)
                yield from _fields(inner, field.type)
        elif isinstance(one, inspect.CollectionType):
            yield from _fields(f"{path}[]", one.item_type)


def _members(told: inspect.Type) -> tuple[inspect.Type, ...]:
    told = _plain(told)
    return told.types if isinstance(told, inspect.UnionType) else (told,)


def _plain(told: inspect.Type) -> inspect.Type:
    """Without what is for people."""
    return told.type if isinstance(told, inspect.Metadata) else told


def _types(told: inspect.Type) -> list[str]:
    return sorted(_name(_plain(one)) for one in _members(told))


def _name(told: inspect.Type) -> str:
    match told:
        case inspect.StructType():
            return "object"
        case inspect.EnumType(cls=cls):
            return "one of " + ", ".join(sorted(str(one.value) for one in cls))
        case inspect.CollectionType(item_type=item):
            return f"list of {' | '.join(_types(item))}"
        case inspect.RawType() | inspect.AnyType():
            return "any"
    limits = {
        name: value
        for name in ("gt", "ge", "lt", "le", "multiple_of", "pattern", "min_length", "max_length")
        if (value := getattr(told, name, None)) is not None
    }
    return type(told).__name__.removesuffix("Type").lower() + (f" {limits}" if limits else "")


_KEEP = "logs and entries that hold it must still be read"


def differences(version: str, old: Format, new: Format) -> Iterator[str]:
    """What keeps ``new`` from reading what ``version`` stored in the format ``old``, and what to do about it."""
    for path, before in old.items():
        after = new.get(path)
        if after is None:
            yield f"{path} was stored by {version} and is gone: {_KEEP}. Put it back; just don't write it"
        elif not _takes(after.types, before.types):
            yield (
                f"{path} is {' | '.join(after.types)}, and {version} stored {' | '.join(before.types)}: {_KEEP}. Take "
                "the old type as well, or give the new meaning another name. Where every stored value still fits, say "
                "so in WIDENED in tests/replay/test_replay.py"
            )
        elif after.required and not before.required:
            yield f"{path} must be there now, and {version} could leave it out: give it a default"
    parents = {_parent(path) for path in old}
    for path, after in new.items():
        if path not in old and after.required and _parent(path) in parents:
            yield f"{path} is new, and what {version} stored has none: give it a default"


def _takes(after: list[str], before: list[str]) -> bool:
    return "any" in after or all(any(_includes(one, other) for one in after) for other in before)


def _includes(after: str, before: str) -> bool:
    if after == before:
        return True
    words = "one of "
    return after.startswith(words) and before.startswith(words) and _values(before) <= _values(after)


def _values(one_of: str) -> set[str]:
    return set(one_of.removeprefix("one of ").split(", "))


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def read_format(text: bytes) -> Format:
    """A table that was recorded."""
    return msgspec.json.decode(text, type=Format)


def written_format(format_: Format) -> bytes:
    """A table to be recorded, a line a path."""
    rows = [encode(path) + b": " + encode(field) for path, field in sorted(format_.items())]
    return b"{\n" + b",\n".join(rows) + b"\n}\n"
