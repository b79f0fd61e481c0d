"""Areas of a Text Search call."""

import math
from typing import Annotated

from pydantic import Field, model_validator

from leadplan_sandbox.google.messages import Double, Message

_EARTH_RADIUS_METRES = 6_371_000.0
_WIDEST_DEGREES = 180.0

Point = tuple[float, float]
"""Latitude and longitude in degrees."""


def metres_between(one: Point, other: Point) -> float:
    """Distance on the globe."""
    (latitude, longitude), (latitude_2, longitude_2) = ((math.radians(a), math.radians(b)) for a, b in (one, other))
    half = math.sin((latitude_2 - latitude) / 2) ** 2
    half += math.cos(latitude) * math.cos(latitude_2) * math.sin((longitude_2 - longitude) / 2) ** 2
    return 2 * _EARTH_RADIUS_METRES * math.asin(min(1.0, math.sqrt(half)))


class LatLng(Message):
    """A point in degrees."""

    latitude: Annotated[Double, Field(ge=-90, le=90)] = 0.0
    longitude: Annotated[Double, Field(ge=-180, le=180)] = 0.0


class Circle(Message):
    """Centre and radius in metres."""

    center: LatLng
    radius: Annotated[Double, Field(ge=0, le=50_000)] = 0.0

    def middle(self) -> Point:
        """The centre."""
        return self.center.latitude, self.center.longitude

    def contains(self, point: Point) -> bool:
        """Whether a point lies inside."""
        return metres_between(self.middle(), point) <= self.radius


class Rectangle(Message):
    """South-west and north-east corner; it crosses the 180° meridian where ``low`` is east of ``high``."""

    low: LatLng
    high: LatLng

    @model_validator(mode="after")
    def _ordered(self) -> "Rectangle":
        if self.low.latitude > self.high.latitude:
            message = "low.latitude must not be above high.latitude"
            raise ValueError(message)
        if self._width() > _WIDEST_DEGREES:
            message = "the rectangle must not be wider than 180 degrees"
            raise ValueError(message)
        return self

    def _width(self) -> float:
        width = self.high.longitude - self.low.longitude
        return width if width >= 0 else width + 360

    def middle(self) -> Point:
        """The point between the corners."""
        longitude = self.low.longitude + self._width() / 2
        return (self.low.latitude + self.high.latitude) / 2, longitude if longitude <= 180 else longitude - 360

    def contains(self, point: Point) -> bool:
        """Whether a point lies inside."""
        latitude, longitude = point
        if not self.low.latitude <= latitude <= self.high.latitude:
            return False
        if self.low.longitude <= self.high.longitude:
            return self.low.longitude <= longitude <= self.high.longitude
        return longitude >= self.low.longitude or longitude <= self.high.longitude


class LocationBias(Message):
    """Exactly one of a circle and a rectangle."""

    circle: Circle | None = None
    rectangle: Rectangle | None = None

    @model_validator(mode="after")
    def _one_of(self) -> "LocationBias":
        if (self.circle is None) == (self.rectangle is None):
            message = "set exactly one of circle and rectangle"
            raise ValueError(message)
        return self

    @property
    def shape(self) -> Circle | Rectangle:
        """The one that is set."""
        shape = self.circle or self.rectangle
        assert shape is not None  # noqa: S101  (the validator has seen to it)
        return shape


class LocationRestriction(Message):
    """A rectangle: Text Search takes no circle here."""

    rectangle: Rectangle

    @property
    def shape(self) -> Rectangle:
        """The rectangle."""
        return self.rectangle
