"""Models and field types for answers that nobody here controls.

A field of the wrong shape counts as missing, and an item of the wrong shape is left out, so that one odd entry doesn't
cost the whole answer.
"""

import re
from datetime import date
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

T = TypeVar("T")

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _none_if_malformed(value: Any, parse: ValidatorFunctionWrapHandler) -> Any:
    try:
        return parse(value)
    except ValidationError:
        return None


def _without_malformed_items(value: Any, parse: ValidatorFunctionWrapHandler) -> list[Any]:
    kept: list[Any] = []
    for item in value if isinstance(value, list) else []:
        try:
            kept += parse([item])
        except ValidationError:
            continue
    return kept


def _day_of(value: Any) -> str | None:
    found = _DAY.match(value) if isinstance(value, str) else None
    return found[0] if found else None


ApiDay: TypeAlias = Annotated[date, BeforeValidator(_day_of)]
"""A day, of ``2026-11-23`` or of a time that begins with it, such as ``2026-11-23 12:00:00 UTC``."""
Tolerant: TypeAlias = Annotated[T | None, WrapValidator(_none_if_malformed)]
TolerantList: TypeAlias = Annotated[list[T], WrapValidator(_without_malformed_items)]


class ApiAnswer(BaseModel):
    """Base of the models of answers: fields that they don't name are ignored, since new ones can come at any time."""

    model_config = ConfigDict(extra="ignore", frozen=True)
