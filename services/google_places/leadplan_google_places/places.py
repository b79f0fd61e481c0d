"""A place as the steps after this one read it."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from leadplan_google_places.api_answers import PlaceAnswer


class ResultModel(BaseModel):
    """Base of what the tool returns: camelCase names. What is None is left out of the step's data."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class PlaceLocation(ResultModel):
    """A point in degrees. Businesses without an address have none."""

    latitude: float
    longitude: float


class PostalAddress(ResultModel):
    """The address in its parts."""

    region_code: Annotated[str, Field(description="Country in two letters.")] | None = None
    postal_code: str | None = None
    administrative_area: Annotated[str, Field(description="State, region or county.")] | None = None
    locality: Annotated[str, Field(description="Town.")] | None = None
    address_lines: Annotated[list[str], Field(description="Street and number, as written there.")]


class Services(ResultModel):
    """What a restaurant or shop offers."""

    delivery: bool | None = None
    dine_in: bool | None = None
    takeout: bool | None = None
    outdoor_seating: bool | None = None


class Attribution(ResultModel):
    """Whom Google has the place's data from. Show it wherever you show the place: Google's terms ask for it."""

    provider: str | None = None
    provider_uri: str | None = None


class Place(ResultModel):
    """A business."""

    place_id: Annotated[str, Field(description="Google's id, by which places are told apart.")]
    name: Annotated[str, Field(description="As over the door; the address or the id where Google has no name.")]
    address: str | None = None
    website: Annotated[
        str, Field(description="As the business gave it; can be a page on facebook.com or the like.")
    ] | (None) = None
    phone: Annotated[str, Field(description="With the country code where Google knows it.")] | None = None
    rating: Annotated[float, Field(description="1 to 5.")] | None = None
    user_rating_count: Annotated[int, Field(description="How many people rated it.")] | None = None
    types: Annotated[list[str], Field(description="Google's place types, such as `dentist`.")]
    location: PlaceLocation | None = None
    business_status: (
        Annotated[
            str,
            Field(
                description="`OPERATIONAL`, `FUTURE_OPENING`, and with `includeClosed` also `CLOSED_TEMPORARILY` or "
                "`CLOSED_PERMANENTLY`; Google may add others."
            ),
        ]
        | None
    ) = None
    google_maps_uri: Annotated[str, Field(description="Its page on Google Maps.")] | None = None
    pure_service_area_business: (
        Annotated[
            bool,
            Field(description="True for one without an address. With `includePureServiceAreaBusinesses`."),
        ]
        | None
    ) = None
    moved_place_id: (
        Annotated[str, Field(description="Id of the place that it moved to. With `includeClosed`.")] | None
    ) = None
    attributions: list[Attribution] | None = None
    price_level: Annotated[str, Field(description="With the detail of that name.")] | None = None
    opening_hours: (
        Annotated[list[str], Field(description="A line a day, in words. With the detail of that name.")] | None
    ) = None
    postal_address: Annotated[PostalAddress, Field(description="With the detail of that name.")] | None = None
    primary_type: Annotated[str, Field(description="With the detail of that name.")] | None = None
    summary: Annotated[str, Field(description="Google's own words on it. With the detail of that name.")] | None = None
    services: Annotated[Services, Field(description="With the detail of that name.")] | None = None


def place_from(answer: PlaceAnswer) -> Place:
    """A place of Google's in the tool's shape."""
    name = answer.display_name.text if answer.display_name else None
    hours = answer.regular_opening_hours
    return Place(
        place_id=answer.id,
        name=name or answer.formatted_address or answer.id,
        address=answer.formatted_address,
        website=answer.website_uri,
        phone=answer.international_phone_number or answer.national_phone_number,
        rating=answer.rating,
        user_rating_count=answer.user_rating_count,
        types=answer.types,
        location=_location(answer),
        business_status=answer.business_status,
        google_maps_uri=answer.google_maps_uri,
        pure_service_area_business=answer.pure_service_area_business,
        moved_place_id=answer.moved_place_id,
        attributions=[Attribution(**one.model_dump()) for one in answer.attributions] or None,
        price_level=answer.price_level,
        opening_hours=(hours.weekday_descriptions or None) if hours else None,
        postal_address=_postal_address(answer),
        primary_type=answer.primary_type,
        summary=answer.editorial_summary.text if answer.editorial_summary else None,
        services=_services(answer),
    )


def _location(answer: PlaceAnswer) -> PlaceLocation | None:
    return PlaceLocation(**answer.location.model_dump()) if answer.location else None


def _postal_address(answer: PlaceAnswer) -> PostalAddress | None:
    return PostalAddress(**answer.postal_address.model_dump()) if answer.postal_address else None


def _services(answer: PlaceAnswer) -> Services | None:
    services = Services(
        delivery=answer.delivery,
        dine_in=answer.dine_in,
        takeout=answer.takeout,
        outdoor_seating=answer.outdoor_seating,
    )
    return services if services.model_dump(exclude_none=True) else None
