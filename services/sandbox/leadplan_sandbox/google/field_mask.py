"""Field masks: which fields of an answer come back (google.protobuf.FieldMask)."""

from typing import Any

from leadplan_sandbox.google.errors import GoogleApiError, bad_request

_ANY: frozenset[str] = frozenset()
"""Anything may follow: a message whose fields the sandbox doesn't fill."""
_NONE = frozenset({""})
"""Nothing may follow: a plain value."""

_PLAIN = """
id name formattedAddress shortFormattedAddress types primaryType nationalPhoneNumber internationalPhoneNumber
websiteUri googleMapsUri rating userRatingCount businessStatus priceLevel pureServiceAreaBusiness movedPlace
movedPlaceId utcOffsetMinutes iconMaskBaseUri iconBackgroundColor adrFormatAddress takeout delivery dineIn
curbsidePickup reservable servesBreakfast servesLunch servesDinner servesBeer servesWine servesBrunch
servesVegetarianFood outdoorSeating liveMusic menuForChildren servesCocktails servesDessert servesCoffee
goodForChildren allowsDogs restroom goodForGroups goodForWatchingSports openingDate
"""
_NESTED = """
viewport plusCode photos regularSecondaryOpeningHours currentSecondaryOpeningHours reviews priceRange paymentOptions
parkingOptions accessibilityOptions fuelOptions evChargeOptions subDestinations containingPlaces
addressDescriptor googleMapsLinks timeZone generativeSummary reviewSummary evChargeAmenitySummary
neighborhoodSummary consumerAlert
"""
_HOURS = "openNow periods weekdayDescriptions secondaryHoursType specialDays nextOpenTime nextCloseTime"
_FILLED = {
    "displayName": "text languageCode",
    "primaryTypeDisplayName": "text languageCode",
    "editorialSummary": "text languageCode",
    "location": "latitude longitude",
    "attributions": "provider providerUri",
    "postalAddress": "regionCode languageCode postalCode sortingCode administrativeArea locality sublocality "
    "addressLines recipients organization revision",
    "addressComponents": "longText shortText types languageCode",
    "regularOpeningHours": _HOURS,
    "currentOpeningHours": _HOURS,
}
_PLACE_FIELDS: dict[str, frozenset[str]] = (
    dict.fromkeys(_PLAIN.split(), _NONE)
    | dict.fromkeys(_NESTED.split(), _ANY)
    | {name: frozenset(below.split()) for name, below in _FILLED.items()}
)
_TOP_FIELDS = ("nextPageToken", "searchUri", "routingSummaries", "contextualContents")

MaskTree = dict[str, Any]
"""Field name to the mask of what lies below it; an empty dict means all of it."""


def parse_mask(text: str | None) -> MaskTree:
    """Read a mask as it stands in the header.

    Raises:
        GoogleApiError: 400 when there is none or a path names no field.
    """
    if not text:
        message = (
            "FieldMask is a required parameter. See https://cloud.google.com/apis/docs/system-parameters on how to "
            "provide it. As an example, you can set the header 'X-Goog-FieldMask' with value "
            "'places.displayName,places.formattedAddress'."
        )
        raise GoogleApiError(400, message)
    tree: MaskTree = {}
    for path in text.split(","):
        if not _is_known(path):
            description = f"Error expanding 'fields' parameter. Cannot find matching fields for path '{path}'."
            message = "Request contains an invalid argument."
            raise GoogleApiError(400, message, [bad_request([("", description)])])
        _add(tree, path)
    return tree


def _is_known(path: str) -> bool:
    head, *rest = path.split(".")
    if path in ("*", "places") or (head in _TOP_FIELDS and (head != "nextPageToken" or not rest)):
        return True
    if head != "places":
        return False
    if rest == ["*"]:
        return True
    below = _PLACE_FIELDS.get(rest[0])
    if below is None:
        return False
    return len(rest) == 1 or below is _ANY or (len(rest) == 2 and rest[1] in below)


def _add(tree: MaskTree, path: str) -> None:
    for name in path.split("."):
        if name == "*":
            tree["*"] = {}
            return
        if name in tree and not tree[name]:
            return  # The whole field is wanted already.
        tree = tree.setdefault(name, {})
    tree.clear()


def apply_mask(tree: MaskTree, value: Any) -> Any:
    """What a mask leaves of a JSON value; lists are masked item by item, empty remains are left out."""
    if not tree or "*" in tree:
        return value
    if isinstance(value, list):
        return [apply_mask(tree, item) for item in value]
    if not isinstance(value, dict):
        return value
    masked = {name: apply_mask(tree[name], below) for name, below in value.items() if name in tree}
    return {name: below for name, below in masked.items() if below not in ({}, [])}
