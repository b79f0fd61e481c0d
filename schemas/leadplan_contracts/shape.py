"""Compare decoded JSON with a wire model and list every difference, not only the first.

msgspec stops at the first difference; people who write plans want them all. The models stay the one source: this
walks their fields and lets msgspec judge each leaf.
"""

from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from leadplan_contracts.error_codes import RejectionCode
from leadplan_contracts.errors import PlanProblem

_ID_FORM = "1 to 64 (a plan's: 128) of letters, digits, `-` and `_`; a plan's has no leading `_`"
_TIME_FORM = "an RFC 3339 time such as 2026-11-23T09:15:02.417Z"
# What msgspec would answer with a regular expression.
_TEXT_FORMS = {
    "id": (RejectionCode.BAD_ID, f"no id: {_ID_FORM}"),
    "dependsOn": (RejectionCode.BAD_ID, f"no id: {_ID_FORM}"),
    "tool": (RejectionCode.INVALID_FIELD, "no tool: a capital letter, then up to 63 of capitals, digits and `_`"),
    "createdAt": (RejectionCode.INVALID_FIELD, f"no time: give {_TIME_FORM}"),
}
_MAX_SHOWN = 80


def find_shape_problems(value: Any, model: type[msgspec.Struct]) -> list[PlanProblem]:
    """Every place where a decoded JSON value doesn't fit the model."""
    problems: list[PlanProblem] = []
    _check(value, model, "", "", problems)
    return problems


def text_problem(value: str, path: str, field: str) -> PlanProblem:
    """The problem of a text that has not the form which the named field asks for (a key of ``_TEXT_FORMS``)."""
    code, reason = _TEXT_FORMS[field]
    return PlanProblem(path=path, code=code, message=f"{shown(value)} is {reason}")


def shown(value: str) -> str:
    """A text from a message as it stands in ours: quoted, and cut where it is long."""
    return repr(value if len(value) <= _MAX_SHOWN else value[: _MAX_SHOWN - 1] + "…")


def _check(value: Any, expected: Any, path: str, field: str, problems: list[PlanProblem]) -> None:
    plain, limits = _unwrapped(expected)
    if isinstance(plain, type) and issubclass(plain, msgspec.Struct):
        _check_struct(value, plain, path, problems)
    elif get_origin(plain) is list and isinstance(value, list):
        _check_length(value, limits, path, problems)
        if limits.max_length is None or len(value) <= limits.max_length:
            for index, item in enumerate(value):
                _check(item, get_args(plain)[0], f"{path}[{index}]", field, problems)
    else:
        try:
            msgspec.convert(value, expected)
        except msgspec.ValidationError as error:
            problems.append(_leaf_problem(value, path, field if plain is str else "", str(error)))


def _check_struct(value: Any, model: type[msgspec.Struct], path: str, problems: list[PlanProblem]) -> None:
    if not isinstance(value, dict):
        message = f"must be an object, not {_json_type(value)}"
        problems.append(PlanProblem(path=path, code=RejectionCode.INVALID_FIELD, message=message))
        return
    for field in msgspec.structs.fields(model):
        name = field.encode_name
        field_path = f"{path}.{name}" if path else name
        item = value.get(name)
        if item is not None:
            _check(item, field.type, field_path, name, problems)
        elif field.required:
            message = f"{name} is required"
            problems.append(PlanProblem(path=field_path, code=RejectionCode.MISSING_FIELD, message=message))


def _check_length(value: list[Any], limits: msgspec.Meta, path: str, problems: list[PlanProblem]) -> None:
    if limits.min_length is not None and len(value) < limits.min_length:
        message = "there must be at least one step"
        problems.append(PlanProblem(path=path, code=RejectionCode.NO_STEPS, message=message))
    if limits.max_length is not None and len(value) > limits.max_length:
        message = f"there are {len(value)} steps; at most {limits.max_length} are allowed"
        problems.append(PlanProblem(path=path, code=RejectionCode.TOO_MANY_STEPS, message=message))


def _leaf_problem(value: Any, path: str, field: str, reason: str) -> PlanProblem:
    if field in _TEXT_FORMS and isinstance(value, str):
        return text_problem(value, path, field)
    return PlanProblem(path=path, code=RejectionCode.INVALID_FIELD, message=reason)


def _unwrapped(expected: Any) -> tuple[Any, msgspec.Meta]:
    """The type without ``Annotated`` and ``| None``, and its outermost limits."""
    limits = msgspec.Meta()
    while True:
        if get_origin(expected) is Annotated:
            expected, limits = get_args(expected)[:2]
        elif get_origin(expected) in (Union, UnionType):
            # `Annotated[X, …] | None` has the one origin, `list[X] | None` the other.
            expected = get_args(expected)[0]
        else:
            return expected, limits


def _json_type(value: Any) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
