"""The params of GOOGLE_PLACES_SEARCH and the request body that they make.

Ranges and exclusions are those of the Text Search (New) reference:
https://developers.google.com/maps/documentation/places/web-service/text-search
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from leadplan_google_places.areas import GivenParams, LocationBias, LocationRestriction
from leadplan_google_places.details import DEFAULT_DETAILS, Detail, RequestedFields

MAX_RESULTS = 60
"""Google returns at most so many places for one query, over all pages."""

PAGE_SIZE = 20
"""The largest page. A page is billed as one request whatever its size, so no smaller one is asked for."""

# Google's enum has PRICE_LEVEL_FREE as well, but its guides say that requests don't take it, and a place that takes no
# money is no business to sell to. So it is refused here, where that costs nothing.
PriceLevel = Literal[
    "PRICE_LEVEL_INEXPENSIVE", "PRICE_LEVEL_MODERATE", "PRICE_LEVEL_EXPENSIVE", "PRICE_LEVEL_VERY_EXPENSIVE"
]
_NOT_SENT = {"query", "max_results", "include_closed", "details"}
# The code of CLDR for what many people write; Google takes CLDR's.
_REGION_ALIASES = {"UK": "GB"}


class SearchParams(GivenParams):
    """What to search for, and where."""

    query: Annotated[str, Field(min_length=1, description="As typed into Google Maps: `dentists in Leeds`.")]
    max_results: Annotated[int, Field(ge=1, le=MAX_RESULTS, description="How many places to return at most.")] = 20
    region_code: (
        Annotated[
            str,
            Field(
                pattern="^[A-Za-z]{2}$",
                description="Country in two letters, such as `GB`: how addresses and numbers are written.",
            ),
        ]
        | None
    ) = None
    language_code: (
        Annotated[
            str,
            Field(
                pattern="^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$",
                description="Language of names and addresses, such as `en` or `pt-BR`. "
                "Without it they come in any, by preference in English.",
            ),
        ]
        | None
    ) = None
    location_bias: LocationBias | None = None
    location_restriction: LocationRestriction | None = None
    included_type: (
        Annotated[
            str,
            Field(
                pattern="^[a-z0-9_]+$", description="Prefer one of Google's place types (Table A), such as `dentist`."
            ),
        ]
        | None
    ) = None
    strict_type_filtering: Annotated[bool, Field(description="Only places of `includedType`.")] = False
    min_rating: (
        Annotated[
            float,
            Field(
                ge=0,
                le=5,
                description="Leave out places rated below it. Steps of 0.5: Google rounds 4.1 up to 4.5.",
            ),
        ]
        | None
    ) = None
    open_now: Annotated[
        bool, Field(description="Only places that are open at this moment; those without known hours fall away.")
    ] = False
    price_levels: Annotated[
        tuple[PriceLevel, ...], Field(description="Only places of these price levels; empty for all.")
    ] = ()
    rank_preference: (
        Annotated[
            Literal["RELEVANCE", "DISTANCE"],
            Field(
                description="What comes first. Without it Google takes relevance for queries such as `dentists`; "
                "it advises against setting it for others."
            ),
        ]
        | None
    ) = None
    include_pure_service_area_businesses: Annotated[
        bool, Field(description="Also businesses that visit their customers and have no address, such as plumbers.")
    ] = False
    include_closed: Annotated[
        bool, Field(description="Keep businesses that closed for a time or for good, or moved away.")
    ] = False
    details: Annotated[
        tuple[Detail, ...],
        Field(
            description="Facts to ask for besides name, address, location, types and status. They set the price: "
            "see what a search costs."
        ),
    ] = DEFAULT_DETAILS

    @field_validator("region_code")
    @classmethod
    def _as_cldr_writes_it(cls, code: str | None) -> str | None:
        return None if code is None else _REGION_ALIASES.get(code.upper(), code.upper())

    @model_validator(mode="after")
    def _params_fit_together(self) -> Self:
        if self.location_bias is not None and self.location_restriction is not None:
            raise ValueError("give locationBias (prefer an area) or locationRestriction (only an area), not both")
        if self.strict_type_filtering and self.included_type is None:
            raise ValueError("strictTypeFiltering needs includedType")
        return self

    def request_body(self) -> dict[str, Any]:
        """The body of the first page's request. Later pages add ``pageToken`` and change nothing else."""
        filters = self.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=_NOT_SENT)
        return {"textQuery": self.query, "pageSize": PAGE_SIZE, **filters}

    def requested_fields(self) -> RequestedFields:
        """The fields that the search asks Google for."""
        return RequestedFields.of(
            self.details, moved=self.include_closed, service_areas=self.include_pure_service_area_businesses
        )
