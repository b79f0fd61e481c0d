"""The params of GOOGLE_PLACES_SEARCH and the request body that they make.

Ranges and exclusions are those of the Text Search (New) reference:
https://developers.google.com/maps/documentation/places/web-service/text-search
"""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

MAX_RESULTS = 60
"""Google returns at most so many places for one query, over all pages."""

PAGE_SIZE = 20
"""The largest page. A page is billed as one request whatever its size, so no smaller one is asked for."""


class _Params(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", str_strip_whitespace=True, frozen=True
    )


class Coordinates(_Params):
    """A point in degrees."""

    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]


class Circle(_Params):
    """An area around a point."""

    center: Coordinates
    radius: Annotated[float, Field(ge=0, le=50_000, description="In metres.")]


class Rectangle(_Params):
    """An area between its south-west (``low``) and north-east (``high``) corners."""

    low: Coordinates
    high: Coordinates

    @model_validator(mode="after")
    def _low_is_south_of_high(self) -> Self:
        if self.low.latitude > self.high.latitude:
            raise ValueError("low.latitude must not be larger than high.latitude")
        return self


class LocationBias(_Params):
    """Prefer places in this area; others can still be found. Give a circle or a rectangle."""

    circle: Circle | None = None
    rectangle: Rectangle | None = None

    @model_validator(mode="after")
    def _exactly_one_shape(self) -> Self:
        if (self.circle is None) == (self.rectangle is None):
            raise ValueError("give either circle or rectangle")
        return self


class LocationRestriction(_Params):
    """Only places in this area. Google takes no circle here."""

    rectangle: Rectangle


class SearchParams(_Params):
    """What to search for, and where."""

    query: Annotated[str, Field(min_length=1, description="As typed into Google Maps: `dentists in Leeds`.")]
    max_results: Annotated[int, Field(ge=1, le=MAX_RESULTS, description="How many places to return at most.")] = 20
    region_code: Annotated[str, Field(pattern="^[A-Za-z]{2}$", description="Two letters, such as GB.")] | None = None
    language_code: Annotated[str, Field(min_length=2, description="Language of names and addresses.")] | None = None
    included_type: (
        Annotated[str, Field(pattern="^[a-z0-9_]+$", description="One of Google's place types, such as dentist.")]
        | None
    ) = None
    strict_type_filtering: Annotated[bool, Field(description="Only places of includedType.")] = False
    min_rating: Annotated[float, Field(ge=0, le=5, description="Rounded up to the next half by Google.")] | None = None
    open_now: Annotated[bool, Field(description="Only places that are open now.")] = False
    location_bias: LocationBias | None = None
    location_restriction: LocationRestriction | None = None
    include_closed: Annotated[bool, Field(description="Keep places that closed for a time or for good.")] = False

    @model_validator(mode="after")
    def _one_area_at_most(self) -> Self:
        if self.location_bias is not None and self.location_restriction is not None:
            raise ValueError("give locationBias or locationRestriction, not both")
        if self.strict_type_filtering and self.included_type is None:
            raise ValueError("strictTypeFiltering needs includedType")
        return self

    def request_body(self) -> dict[str, Any]:
        """The body of the first page's request. Later pages add ``pageToken`` and change nothing else."""
        filters = self.model_dump(
            mode="json",
            by_alias=True,
            exclude_defaults=True,
            exclude={"query", "max_results", "include_closed"},
        )
        return {"textQuery": self.query, "pageSize": PAGE_SIZE, **filters}
