"""What all wire models share: the base class, identifiers and the one way to encode."""

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta

# A pattern's `$` also matches before a final newline in Python, and JSON Schema knows no `\Z`; "no character
# follows" means the end in both.
_END = r"(?![\s\S])"

PLAN_ID_PATTERN = rf"^[A-Za-z0-9_-]{{1,128}}{_END}"
SUBMITTED_PLAN_ID_PATTERN = rf"^[A-Za-z0-9-][A-Za-z0-9_-]{{0,127}}{_END}"
STEP_ID_PATTERN = rf"^[A-Za-z0-9_-]{{1,64}}{_END}"
TOOL_PATTERN = rf"^[A-Z][A-Z0-9_]{{0,63}}{_END}"
# `[0-9]`, for Python's `\d` takes the digits of every script.
TIMESTAMP_PATTERN = (
    rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[Tt][0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}(\.[0-9]{{1,9}})?"
    rf"([Zz]|[+-][0-9]{{2}}:[0-9]{{2}}){_END}"
)

PlanId = Annotated[str, Meta(pattern=PLAN_ID_PATTERN, description="One NATS token (protocol section 1).")]
SubmittedPlanId = Annotated[
    str, Meta(pattern=SUBMITTED_PLAN_ID_PATTERN, description="A plan id; a leading `_` is reserved.")
]
StepId = Annotated[str, Meta(pattern=STEP_ID_PATTERN, description="A step's id, unique in its plan.")]
Timestamp = Annotated[
    str, Meta(pattern=TIMESTAMP_PATTERN, description="RFC 3339 UTC with milliseconds: 2026-11-23T09:15:02.417Z.")
]
Sequence = Annotated[int, Meta(ge=1, description="Counts 1, 2, 3 … within a plan, without gaps.")]


class WireModel(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True, frozen=True):
    """Base of every wire model: camelCase keys, unknown keys ignored, None means absent."""


_encoder = msgspec.json.Encoder()


def encode(model: Any) -> bytes:
    """Encode a wire model (or plain JSON value) as compact UTF-8 JSON."""
    return _encoder.encode(model)


MAX_NESTING = 100
"""Arrays and objects inside one another in a message: far below where readers' recursion limits begin."""

# The closing quote is optional so that one pass suffices for any text.
_json_string = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_as_square_brackets = bytes.maketrans(b"{}", b"[]")
_not_brackets = bytes(set(range(256)) - set(b"[]{}"))


def is_nested_too_deep(body: bytes) -> bool:
    """Whether well-formed JSON nests deeper than ``MAX_NESTING``.

    A reader that is a few calls deeper in its own stack may fail on what another one read well; a fixed limit keeps
    the answer the same everywhere.
    """
    if body.count(b"[") + body.count(b"{") <= MAX_NESTING:
        return False
    brackets = _json_string.sub(b"", body).translate(_as_square_brackets, _not_brackets)
    for _ in range(MAX_NESTING):
        brackets = brackets.replace(b"[]", b"")  # takes away the innermost level
        if not brackets:
            return False
    return True
