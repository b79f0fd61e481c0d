"""Which facts a search asks Google for, and what they cost.

Google returns the fields that the request's field mask names and no others, and bills a request at the highest tier
among them:
https://developers.google.com/maps/documentation/places/web-service/data-fields
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class BillingTier(StrEnum):
    """Google's price groups for Text Search, cheapest first."""

    IDS_ONLY = "IDs only"
    PRO = "Pro"
    ENTERPRISE = "Enterprise"
    ENTERPRISE_ATMOSPHERE = "Enterprise + Atmosphere"


class Detail(StrEnum):
    """A fact that can be asked for."""

    WEBSITE = "website"
    PHONE = "phone"
    RATING = "rating"
    PRICE_LEVEL = "priceLevel"
    OPENING_HOURS = "openingHours"
    POSTAL_ADDRESS = "postalAddress"
    PRIMARY_TYPE = "primaryType"
    SUMMARY = "summary"
    SERVICES = "services"


DEFAULT_DETAILS: Final = (Detail.WEBSITE, Detail.PHONE, Detail.RATING)
"""What the tools after this one read: without a website there is no domain to look up."""

FIELDS_BY_DETAIL: Final[Mapping[Detail, tuple[str, ...]]] = {
    Detail.WEBSITE: ("websiteUri",),
    Detail.PHONE: ("nationalPhoneNumber", "internationalPhoneNumber"),
    Detail.RATING: ("rating", "userRatingCount"),
    Detail.PRICE_LEVEL: ("priceLevel",),
    Detail.OPENING_HOURS: ("regularOpeningHours",),
    Detail.POSTAL_ADDRESS: ("postalAddress",),
    Detail.PRIMARY_TYPE: ("primaryType",),
    Detail.SUMMARY: ("editorialSummary",),
    Detail.SERVICES: ("delivery", "dineIn", "takeout", "outdoorSeating"),
}

TIER_BY_FIELD: Final[Mapping[str, BillingTier]] = {
    "id": BillingTier.IDS_ONLY,
    "attributions": BillingTier.IDS_ONLY,
    "displayName": BillingTier.PRO,
    "businessStatus": BillingTier.PRO,
    "formattedAddress": BillingTier.PRO,
    "googleMapsUri": BillingTier.PRO,
    "location": BillingTier.PRO,
    # Not in Google's list of tiers; nothing suggests that it costs more than the name beside it.
    "movedPlaceId": BillingTier.PRO,
    "postalAddress": BillingTier.PRO,
    "primaryType": BillingTier.PRO,
    "pureServiceAreaBusiness": BillingTier.PRO,
    "types": BillingTier.PRO,
    "internationalPhoneNumber": BillingTier.ENTERPRISE,
    "nationalPhoneNumber": BillingTier.ENTERPRISE,
    "priceLevel": BillingTier.ENTERPRISE,
    "rating": BillingTier.ENTERPRISE,
    "regularOpeningHours": BillingTier.ENTERPRISE,
    "userRatingCount": BillingTier.ENTERPRISE,
    "websiteUri": BillingTier.ENTERPRISE,
    "delivery": BillingTier.ENTERPRISE_ATMOSPHERE,
    "dineIn": BillingTier.ENTERPRISE_ATMOSPHERE,
    "editorialSummary": BillingTier.ENTERPRISE_ATMOSPHERE,
    "outdoorSeating": BillingTier.ENTERPRISE_ATMOSPHERE,
    "takeout": BillingTier.ENTERPRISE_ATMOSPHERE,
}
"""The tier of every place field that can be asked for: the one place where prices are known."""

_NEEDED = (
    "id",
    "displayName",
    "businessStatus",
    # Google wants them shown wherever there are any.
    "attributions",
)
# The name makes a search a Pro one, and these cost no more than that.
_AT_NO_EXTRA_COST = ("formattedAddress", "location", "types", "googleMapsUri")
# Without it no answer carries a token, and every search looks as if it had one page.
_NEXT_PAGE = "nextPageToken"


@dataclass(frozen=True)
class RequestedFields:
    """The fields of a place that a search asks for, without the prefix ``places.``."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, details: Iterable[Detail], *, moved: bool = False, service_areas: bool = False) -> "RequestedFields":
        """What the tool needs itself, and what was asked for.

        Args:
            details: what was asked for.
            moved: whether a closed place is to name the one that it moved to.
            service_areas: whether a place is to say that it has no address of its own.
        """
        wanted = [field for detail in details for field in FIELDS_BY_DETAIL[detail]]
        conditional = ["movedPlaceId"] * moved + ["pureServiceAreaBusiness"] * service_areas
        return cls(tuple(dict.fromkeys([*_NEEDED, *_AT_NO_EXTRA_COST, *conditional, *wanted])))

    @property
    def mask(self) -> str:
        """The field mask, as the request carries it."""
        return ",".join([*(f"places.{name}" for name in self.names), _NEXT_PAGE])

    @property
    def billing_tier(self) -> BillingTier:
        """What each request is billed as: the highest tier of its fields."""
        tiers = {TIER_BY_FIELD[name] for name in self.names}
        return [tier for tier in BillingTier if tier in tiers][-1]
