"""The request header that makes a single request fail: ``Sandbox-Fault: status=503; retry-after=2; delay-ms=100``."""

from pydantic import ValidationError

from leadplan_sandbox.faults import Failure

HEADER = "Sandbox-Fault"
_FIELDS = {
    "status": "status",
    "answer": "answer",
    "delay-ms": "delayMs",
    "body-ms": "bodyMs",
    "drop": "drop",
    "retry-after": "retryAfter",
}
_NAMES = {field: name for name, field in _FIELDS.items()}
_EXAMPLES = {
    "status": "503", "answer": "garbage", "delay-ms": "100", "body-ms": "1000", "drop": "during", "retry-after": "2",
}  # fmt: skip
_WITHOUT_VALUE = {"drop": "before"}


class BadFaultHeaderError(ValueError):
    """The header can't be read. The message says what is wrong with it."""


def parse_fault_header(text: str) -> Failure:
    """The failure that a request asks for.

    Raises:
        BadFaultHeaderError: it names something unknown, something twice, a wrong value, or nothing.
    """
    given: dict[str, str] = {}
    for part in text.split(";"):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if name not in _FIELDS:
            raise BadFaultHeaderError(f"{name!r} is none of {', '.join(_FIELDS)}")
        if _FIELDS[name] in given:
            raise BadFaultHeaderError(f"{name} stands twice")
        if not equals:
            value = _WITHOUT_VALUE.get(name, "")
        if not value:
            raise BadFaultHeaderError(f"{name} needs a value, such as {name}={_EXAMPLES[name]}")
        given[_FIELDS[name]] = value
    try:
        return Failure.model_validate(given)
    except ValidationError as error:
        raise BadFaultHeaderError("; ".join(_problem(one["loc"], one["msg"]) for one in error.errors())) from None


def _problem(location: tuple[int | str, ...], message: str) -> str:
    name = _NAMES[str(location[0])] if location else ""
    return f"{name}: {message}" if name else message.removeprefix("Value error, ")
