"""The body of a Text Search call, checked as strictly as Google checks it."""

import json
import math
from hashlib import blake2b
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic.alias_generators import to_snake

from leadplan_sandbox.google.areas import Circle, LocationBias, LocationRestriction, Rectangle
from leadplan_sandbox.google.errors import GoogleApiError, bad_request
from leadplan_sandbox.google.messages import Bool, Double, Int32, Message

_MAX_PAGE = 20
_NOT_FINGERPRINTED = {"page_token", "page_size", "max_result_count"}

# Guides for requests leave PRICE_LEVEL_FREE out, though the enum has it.
PriceLevel = Literal[
    "PRICE_LEVEL_INEXPENSIVE", "PRICE_LEVEL_MODERATE", "PRICE_LEVEL_EXPENSIVE", "PRICE_LEVEL_VERY_EXPENSIVE"
]


class SearchTextRequest(Message):
    """places.searchText, its documented fields."""

    text_query: str = Field(min_length=1)
    page_size: Annotated[Int32, Field(ge=0)] | None = None
    page_token: str = ""
    max_result_count: Annotated[Int32, Field(ge=0)] | None = None
    location_bias: LocationBias | None = None
    location_restriction: LocationRestriction | None = None
    included_type: str = Field("", pattern="^[a-z0-9_]*$")
    strict_type_filtering: Bool = False
    language_code: str = ""
    region_code: str = Field("", pattern="^([A-Za-z]{2})?$")
    rank_preference: Literal["RANK_PREFERENCE_UNSPECIFIED", "RELEVANCE", "DISTANCE"] = "RANK_PREFERENCE_UNSPECIFIED"
    min_rating: Annotated[Double, Field(ge=0, le=5)] = 0.0
    open_now: Bool = False
    price_levels: list[PriceLevel] = Field(default_factory=list)
    include_pure_service_area_businesses: Bool = False
    include_future_opening_businesses: Bool = False
    ev_options: dict[str, Any] | None = None
    routing_parameters: dict[str, Any] | None = None
    search_along_route_parameters: dict[str, Any] | None = None

    @field_validator("text_query")
    @classmethod
    def _says_something(cls, query: str) -> str:
        if not query.strip():
            message = "Empty text_query."
            raise ValueError(message)
        return query

    @field_validator("min_rating")
    @classmethod
    def _half_steps(cls, rating: float) -> float:
        return math.ceil(rating * 2) / 2

    @model_validator(mode="after")
    def _one_area(self) -> "SearchTextRequest":
        if self.location_bias is not None and self.location_restriction is not None:
            message = "location_bias and location_restriction must not both be set"
            raise ValueError(message)
        return self

    @property
    def results_per_page(self) -> int:
        """1 to 20; more is lowered to 20, 0 means 20."""
        wanted = self.page_size if self.page_size is not None else self.max_result_count
        return min(wanted or _MAX_PAGE, _MAX_PAGE)

    @property
    def area(self) -> Circle | Rectangle | None:
        """The area that the call prefers or keeps to, None when it names none."""
        named = self.location_restriction or self.location_bias
        return None if named is None else named.shape

    def fingerprint(self) -> str:
        """The same for all pages of one search: everything but token and sizes."""
        content = self.model_dump_json(exclude=_NOT_FINGERPRINTED)
        return blake2b(content.encode(), digest_size=8).hexdigest()


def parse_request(body: bytes) -> SearchTextRequest:
    """Read the body of a call.

    Raises:
        GoogleApiError: 400 with every wrong field.
    """
    try:
        return SearchTextRequest.model_validate(json.loads(body or b"{}"))
    except ValidationError as error:
        violations = [_violation(dict(problem)) for problem in error.errors()]
        message = " ".join(description for _, description in violations)
        raise GoogleApiError(400, message, [bad_request(violations)]) from None
    except (ValueError, RecursionError):
        raise GoogleApiError(400, "Invalid JSON payload received. Unexpected token.") from None


def _violation(problem: dict[str, Any]) -> tuple[str, str]:
    """Path in snake_case, as Google names fields here, and what is wrong."""
    location = problem["loc"]
    if not location and problem["type"] != "value_error":
        return "", 'Invalid JSON payload received. Unknown name "": Root element must be a message.'
    if problem["type"] == "extra_forbidden":
        parent = _path(location[:-1])
        where = f" at '{parent}'" if parent else ""
        return parent, f'Invalid JSON payload received. Unknown name "{location[-1]}"{where}: Cannot find field.'
    path = _path(location)
    if path == "text_query" and problem["type"] in ("missing", "string_too_short", "value_error"):
        return path, "Empty text_query."
    return path, f"Invalid value at '{path}': {problem['msg'].removeprefix('Value error, ')}."


def _path(location: tuple[str | int, ...]) -> str:
    """``price_levels[0]``, ``location_bias.circle.radius``."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{to_snake(part)}"
    return path.removeprefix(".")
