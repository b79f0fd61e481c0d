"""What Google answers, as far as the tool reads it.

Any field may be missing, and new ones can come at any time: one odd place doesn't cost the page.
"""

from typing import Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from leadplan_web_apis.tolerant import ApiAnswer, Tolerant, TolerantList


class _Answer(ApiAnswer):
    model_config = ConfigDict(alias_generator=to_camel)


class LocalizedText(_Answer):
    """A text and its language."""

    text: Tolerant[str] = None


class LatLng(_Answer):
    """A point in degrees."""

    latitude: float
    longitude: float


class PlaceAnswer(_Answer):
    """One place. Only ``id`` is needed: it is what places are told apart by."""

    id: Annotated[str, Field(min_length=1)]
    display_name: Tolerant[LocalizedText] = None
    formatted_address: Tolerant[str] = None
    location: Tolerant[LatLng] = None
    types: TolerantList[str] = Field(default_factory=list)
    business_status: Tolerant[str] = None
    website_uri: Tolerant[str] = None
    national_phone_number: Tolerant[str] = None
    international_phone_number: Tolerant[str] = None
    rating: Tolerant[float] = None
    user_rating_count: Tolerant[int] = None
    google_maps_uri: Tolerant[str] = None


class SearchPage(_Answer):
    """One page. A search without hits answers ``{}``."""

    places: TolerantList[PlaceAnswer] = Field(default_factory=list)
    next_page_token: Tolerant[str] = None


class ErrorDetail(_Answer):
    """An entry of ``error.details``: ErrorInfo, RetryInfo, BadRequest or another one, told apart by what is there."""

    reason: Tolerant[str] = None
    metadata: Tolerant[dict[str, Any]] = None
    retry_delay: Tolerant[str] = None
    field_violations: TolerantList[dict[str, Any]] = Field(default_factory=list)


class ErrorStatus(_Answer):
    """google.rpc.Status as JSON."""

    status: Tolerant[str] = None
    message: Tolerant[str] = None
    details: TolerantList[ErrorDetail] = Field(default_factory=list)


class ErrorAnswer(_Answer):
    """The body of every answer that isn't 2xx, unless a front end sent HTML."""

    error: ErrorStatus
