"""What Google answers, as far as the tool reads it.

Any field may be missing, and new ones and new values can come at any time: one odd place doesn't cost the page, and
one odd field doesn't cost the place.
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


class PostalAddressAnswer(_Answer):
    """google.type.PostalAddress."""

    region_code: Tolerant[str] = None
    postal_code: Tolerant[str] = None
    administrative_area: Tolerant[str] = None
    locality: Tolerant[str] = None
    address_lines: TolerantList[str] = Field(default_factory=list)


class OpeningHoursAnswer(_Answer):
    """Opening hours, of which only the lines for people are read."""

    weekday_descriptions: TolerantList[str] = Field(default_factory=list)


class AttributionAnswer(_Answer):
    """Whom the data comes from."""

    provider: Tolerant[str] = None
    provider_uri: Tolerant[str] = None


class PlaceAnswer(_Answer):
    """One place. Only ``id`` is needed: it is what places are told apart by. Enums are texts, whatever their value."""

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
    pure_service_area_business: Tolerant[bool] = None
    moved_place_id: Tolerant[str] = None
    attributions: TolerantList[AttributionAnswer] = Field(default_factory=list)
    price_level: Tolerant[str] = None
    regular_opening_hours: Tolerant[OpeningHoursAnswer] = None
    postal_address: Tolerant[PostalAddressAnswer] = None
    primary_type: Tolerant[str] = None
    editorial_summary: Tolerant[LocalizedText] = None
    delivery: Tolerant[bool] = None
    dine_in: Tolerant[bool] = None
    takeout: Tolerant[bool] = None
    outdoor_seating: Tolerant[bool] = None


class SearchPage(_Answer):
    """One page. A search without hits answers ``{}``."""

    places: TolerantList[PlaceAnswer] = Field(default_factory=list)
    next_page_token: Tolerant[str] = None


class ErrorDetail(_Answer):
    """An entry of ``error.details``: ErrorInfo, RetryInfo, BadRequest, QuotaFailure or another one.

    They are told apart by what is there.
    """

    reason: Tolerant[str] = None
    metadata: Tolerant[dict[str, Any]] = None
    retry_delay: Tolerant[str] = None
    field_violations: TolerantList[dict[str, Any]] = Field(default_factory=list)
    violations: TolerantList[dict[str, Any]] = Field(default_factory=list)


class ErrorStatus(_Answer):
    """google.rpc.Status as JSON."""

    status: Tolerant[str] = None
    message: Tolerant[str] = None
    details: TolerantList[ErrorDetail] = Field(default_factory=list)

    @property
    def reasons(self) -> frozenset[str]:
        """The reasons of google.api.ErrorReason that it gives."""
        return frozenset(detail.reason for detail in self.details if detail.reason)

    @property
    def explanation(self) -> str:
        """Google's own words, as a sentence, with every wrong field."""
        violations = [
            f"{violation.get('field') or 'request'}: {violation.get('description', 'not accepted')}"
            for detail in self.details
            for violation in detail.field_violations
        ]
        # The message often repeats what the violations say.
        message = self.message or ""
        parts = [message, *(violation for violation in violations if violation.partition(": ")[2] not in message)]
        text = "; ".join(part.rstrip(". ") for part in parts if part) or "no explanation given"
        return f"{text}."


class ErrorAnswer(_Answer):
    """The body of every answer that isn't 2xx, unless a front end sent HTML."""

    error: ErrorStatus
