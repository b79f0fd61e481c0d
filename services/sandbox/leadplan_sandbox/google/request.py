"""The body of a Text Search call, checked as strictly as Google checks it."""

import json
import math
from hashlib import blake2b
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.alias_generators import to_camel

from leadplan_sandbox.google.errors import GoogleApiError, bad_request

_MAX_PAGE = 20
_NOT_FINGERPRINTED = {"page_token", "page_size", "max_result_count"}


class _Message(BaseModel):
    """proto3 JSON: camelCase or snake_case names, and no others."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")


class LatLng(_Message):
    """A point in degrees."""

    latitude: float = Field(0.0, ge=-90, le=90)
    longitude: float = Field(0.0, ge=-180, le=180)


class Circle(_Message):
    """Centre and radius in metres."""

    center: LatLng
    radius: float = Field(0.0, ge=0, le=50_000)


class Rectangle(_Message):
    """South-west and north-east corner; it crosses the 180° meridian where ``low`` is east of ``high``."""

    low: LatLng
    high: LatLng

    @model_validator(mode="after")
    def _ordered(self) -> "Rectangle":
        if self.low.latitude > self.high.latitude:
            message = "low.latitude must not be above high.latitude"
            raise ValueError(message)
        if (self.high.longitude - self.low.longitude) % 360 > 180:
            message = "the rectangle must not be wider than 180 degrees"
            raise ValueError(message)
        return self

    def contains(self, latitude: float, longitude: float) -> bool:
        """Whether a point lies inside."""
        if not self.low.latitude <= latitude <= self.high.latitude:
            return False
        if self.low.longitude <= self.high.longitude:
            return self.low.longitude <= longitude <= self.high.longitude
        return longitude >= self.low.longitude or longitude <= self.high.longitude


class LocationBias(_Message):
    """Exactly one of a circle and a rectangle."""

    circle: Circle | None = None
    rectangle: Rectangle | None = None

    @model_validator(mode="after")
    def _one_of(self) -> "LocationBias":
        if (self.circle is None) == (self.rectangle is None):
            message = "set exactly one of circle and rectangle"
            raise ValueError(message)
        return self

    def center(self) -> tuple[float, float]:
        """Latitude and longitude of the middle."""
        if self.circle is not None:
            return self.circle.center.latitude, self.circle.center.longitude
        return _middle(self.rectangle) if self.rectangle is not None else (0.0, 0.0)


class LocationRestriction(_Message):
    """A rectangle: Text Search takes no circle here."""

    rectangle: Rectangle

    def center(self) -> tuple[float, float]:
        """Latitude and longitude of the middle."""
        return _middle(self.rectangle)


PriceLevel = Literal[
    "PRICE_LEVEL_INEXPENSIVE", "PRICE_LEVEL_MODERATE", "PRICE_LEVEL_EXPENSIVE", "PRICE_LEVEL_VERY_EXPENSIVE"
]


class SearchTextRequest(_Message):
    """places.searchText, its documented fields."""

    text_query: str = Field(min_length=1)
    page_size: int | None = Field(None, ge=0)
    page_token: str = ""
    max_result_count: int | None = Field(None, ge=0)
    location_bias: LocationBias | None = None
    location_restriction: LocationRestriction | None = None
    included_type: str = Field("", pattern="^[a-z0-9_]*$")
    strict_type_filtering: bool = False
    language_code: str = ""
    region_code: str = Field("", pattern="^([A-Za-z]{2})?$")
    rank_preference: Literal["RANK_PREFERENCE_UNSPECIFIED", "RELEVANCE", "DISTANCE"] = "RANK_PREFERENCE_UNSPECIFIED"
    min_rating: Annotated[float, Field(ge=0, le=5)] = 0.0
    open_now: bool = False
    price_levels: list[PriceLevel] = []
    include_pure_service_area_businesses: bool = False
    include_future_opening_businesses: bool = False
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

    def fingerprint(self) -> str:
        """The same for all pages of one search: everything but token and sizes."""
        content = self.model_dump_json(exclude=_NOT_FINGERPRINTED)
        return blake2b(content.encode(), digest_size=8).hexdigest()

    def center(self) -> tuple[float, float] | None:
        """The middle of the area that the call names, None when it names none."""
        area = self.location_restriction or self.location_bias
        return None if area is None else area.center()


def _middle(rectangle: Rectangle) -> tuple[float, float]:
    low, high = rectangle.low, rectangle.high
    return (low.latitude + high.latitude) / 2, low.longitude + ((high.longitude - low.longitude) % 360) / 2


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
    except ValueError:
        raise GoogleApiError(400, "Invalid JSON payload received. Unexpected token.") from None


def _violation(problem: dict[str, Any]) -> tuple[str, str]:
    *parents, name = (str(part) for part in (*problem["loc"],)) if problem["loc"] else ("",)
    if problem["type"] == "extra_forbidden":
        where = f" at '{'.'.join(parents)}'" if parents else ""
        return ".".join(parents), f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.'
    path = ".".join((*parents, name))
    if path == "textQuery":
        return path, "Empty text_query."
    return path, f"Invalid value at '{path}': {problem['msg']}."
