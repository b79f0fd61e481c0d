"""Types of proto3's JSON form, as strict as Google's front end reads them."""

from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, StrictBool, model_validator
from pydantic.alias_generators import to_camel


def _is_no_truth_value(value: Any) -> Any:
    if isinstance(value, bool):
        message = "Expected a number"
        raise ValueError(message)
    return value


# Numbers may stand in quotes, truth values and texts may not be anything else.
Int32: TypeAlias = Annotated[int, BeforeValidator(_is_no_truth_value)]
Double: TypeAlias = Annotated[float, BeforeValidator(_is_no_truth_value)]
Bool: TypeAlias = StrictBool


class Message(BaseModel):
    """A message: camelCase or snake_case names and no others; null is the same as absent."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any) -> Any:
        return {name: one for name, one in value.items() if one is not None} if isinstance(value, dict) else value
