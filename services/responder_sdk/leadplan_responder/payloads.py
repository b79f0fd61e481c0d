"""Between JSON and a handler's own types: msgspec Structs, pydantic models or plain JSON values.

Pydantic isn't a dependency of the SDK. A model of its is recognised by the methods that all of them have.
"""

import re
from typing import Any, TypeVar, cast

import msgspec

T = TypeVar("T")

_MOST_PROBLEMS = 10
_INPUT_IN_MESSAGE = re.compile(r"^(Invalid (?:enum )?value) .*?((?: - at `[^`]*`(?: in `[^`]*`)*)?)$", re.DOTALL)


class InvalidPayloadError(ValueError):
    """A value doesn't fit the type; the message names each field that is wrong."""


def _is_pydantic(model: Any) -> bool:
    return isinstance(model, type) and hasattr(model, "model_validate") and hasattr(model, "model_json_schema")


def check_is_model(model: Any) -> None:
    """Check that values of this type can be read from JSON.

    Raises:
        TypeError: they can't; the message says what would do.
    """
    if _is_pydantic(model):
        return
    try:
        msgspec.json.schema(model)
    except TypeError:
        raise TypeError("use a msgspec Struct, a pydantic model, a dataclass or dict") from None


def json_schema(model: Any) -> dict[str, Any]:
    """The JSON Schema of a params model, with the names that stand on the wire."""
    if _is_pydantic(model):
        return cast(dict[str, Any], model.model_json_schema(by_alias=True))
    return msgspec.json.schema(model)


def convert(value: Any, model: type[T]) -> T:
    """Decoded JSON as an instance of the model.

    Raises:
        InvalidPayloadError: it doesn't fit.
    """
    if _is_pydantic(model):
        return _pydantic_from_json(msgspec.json.encode(value), model)
    try:
        return msgspec.convert(value, model, str_keys=True)
    except msgspec.ValidationError as error:
        raise InvalidPayloadError(_msgspec_text(error)) from None


def decode(data: msgspec.Raw | bytes, model: type[T]) -> T:
    """JSON text as an instance of the model.

    Raises:
        InvalidPayloadError: it is no JSON, or doesn't fit.
    """
    if _is_pydantic(model):
        return _pydantic_from_json(bytes(data), model)
    try:
        return msgspec.json.decode(data, type=model)
    except msgspec.ValidationError as error:
        raise InvalidPayloadError(_msgspec_text(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidPayloadError(f"no valid JSON: {error}") from None


def _pydantic_from_json(data: bytes, model: type[T]) -> T:
    # As JSON, for a strict model takes dates and enums as texts only there.
    try:
        return cast(T, cast(Any, model).model_validate_json(data))
    except ValueError as error:
        raise InvalidPayloadError(_pydantic_text(error)) from None


def encode(value: Any) -> msgspec.Raw:
    """What a handler returned, as JSON text.

    Raises:
        TypeError: it holds something that JSON has no form for.
    """
    return msgspec.Raw(msgspec.json.encode(_plain(value), enc_hook=_plain_inside))


def _plain(value: Any) -> Any:
    if hasattr(type(value), "model_dump"):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    return value


def _plain_inside(value: Any) -> Any:
    plain = _plain(value)
    if plain is value:
        raise TypeError(f"a handler returned a {type(value).__name__}, which JSON has no form for")
    return plain


def _pydantic_text(error: ValueError) -> str:
    problems: list[dict[str, Any]] = getattr(error, "errors", list)()
    if not problems:
        return type(error).__name__
    # The input itself is left out: it may hold what nobody should see.
    texts = [f"{'.'.join(str(part) for part in one['loc']) or 'params'}: {one['msg']}" for one in problems]
    more = [f"and {len(texts) - _MOST_PROBLEMS} more"] if len(texts) > _MOST_PROBLEMS else []
    return "; ".join(texts[:_MOST_PROBLEMS] + more)


def _msgspec_text(error: msgspec.ValidationError) -> str:
    # Of all its messages only these show the input.
    return _INPUT_IN_MESSAGE.sub(r"\1\2", str(error))
