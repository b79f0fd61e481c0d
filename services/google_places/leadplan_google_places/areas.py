"""Areas that a search can prefer or keep to, with the ranges that Text Search (New) documents."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

_WIDEST_DEGREES = 180.0


class GivenParams(BaseModel):
    """Base of all that stands in a plan: camelCase names and no others, so that a slip of the pen is found."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", str_strip_whitespace=True, frozen=True
    )


class Coordinates(GivenParams):
    """A point in degrees."""

    latitude: Annotated[float, Field(ge=-90, le=90, description="Degrees north of the equator.")]
    longitude: Annotated[float, Field(ge=-180, le=180, description="Degrees east of Greenwich.")]


class Circle(GivenParams):
    """An area around a point."""

    center: Coordinates
    radius: Annotated[float, Field(ge=0, le=50_000, description="In metres.")]


class Rectangle(GivenParams):
    """An area between two corners. It crosses the 180° meridian where `low` lies east of `high`."""

    low: Annotated[Coordinates, Field(description="The south-west corner.")]
    high: Annotated[Coordinates, Field(description="The north-east corner.")]

    @model_validator(mode="after")
    def _corners_are_in_order(self) -> Self:
        if self.low.latitude > self.high.latitude:
            raise ValueError(
                "low is the south-west corner and high the north-east one: "
                "low.latitude must not be larger than high.latitude"
            )
        width = self.high.longitude - self.low.longitude
        if (width if width >= 0 else width + 360) > _WIDEST_DEGREES:
            raise ValueError(
                "a rectangle reaches at most 180 degrees eastwards from low.longitude to high.longitude: "
                "are the two corners mixed up?"
            )
        return self


class LocationBias(GivenParams):
    """Prefer places in this area; others can still be found. Give a circle or a rectangle."""

    circle: Circle | None = None
    rectangle: Rectangle | None = None

    @model_validator(mode="after")
    def _exactly_one_shape(self) -> Self:
        if (self.circle is None) == (self.rectangle is None):
            raise ValueError("give either circle or rectangle")
        return self


class LocationRestriction(GivenParams):
    """Only places in this rectangle; Google takes no circle here. Meant for queries such as `dentists`."""

    rectangle: Rectangle
