"""The context keys that the planner reads: which step's param each becomes, and what it may hold."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from leadplan_client.errors import GoalError

PARAMS_BY_CONTEXT_KEY: Final[Mapping[str, Mapping[str, str]]] = {
    "search": {
        "country": "regionCode",
        "language": "languageCode",
        "locationBias": "locationBias",
        "locationRestriction": "locationRestriction",
        "includedType": "includedType",
        "strictTypeFiltering": "strictTypeFiltering",
        "minRating": "minRating",
        "priceLevels": "priceLevels",
        "includeServiceAreaBusinesses": "includePureServiceAreaBusinesses",
        "placeDetails": "details",
    },
    "domains": {
        "contactsPerDomain": "contactsPerDomain",
        "departments": "departments",
        "seniorities": "seniorities",
    },
    "enrich": {"minConfidence": "minConfidence"},
    "save": {"listName": "listName"},
    "outreach": {"sequenceId": "sequenceId", "startSequence": "start"},
    "monitor": {"schedule": "schedule", "timeZone": "timeZone"},
}
"""Step id, then context key to param. The tools' own schemas check the rest when the plan is taken."""

_Text = Annotated[str, Meta(min_length=1)]
_TYPES: Final[Mapping[str, Any]] = {
    "query": _Text,
    "country": Annotated[str, Meta(pattern="^[A-Za-z]{2}$")],
    "language": _Text,
    "locationBias": dict[str, Any],
    "locationRestriction": dict[str, Any],
    "includedType": _Text,
    "strictTypeFiltering": bool,
    "minRating": Annotated[float, Meta(ge=0, le=5)],
    "priceLevels": list[str],
    "includeServiceAreaBusinesses": bool,
    "placeDetails": list[str],
    "contactsPerDomain": Annotated[int, Meta(ge=1, le=100)],
    "departments": list[str],
    "seniorities": list[str],
    "minConfidence": Annotated[int, Meta(ge=0, le=100)],
    "listName": _Text,
    "sequenceId": Annotated[int, Meta(ge=1)],
    "startSequence": bool,
    "schedule": _Text | bool,
    "timeZone": _Text,
}


def checked_context(context: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that the planner knows and that hold something; texts without blanks around them.

    Raises:
        GoalError: a value has the wrong type; every such key is listed.
    """
    given: dict[str, Any] = {}
    problems: list[str] = []
    for key, wanted in _TYPES.items():
        if (value := context.get(key)) is None:
            continue
        value = value.strip() if isinstance(value, str) else value
        try:
            given[key] = msgspec.convert(value, wanted)
        except msgspec.ValidationError as error:
            problems.append(f"{key} is {value!r}: {str(error)[:1].lower()}{str(error)[1:]}")
    if given.get("schedule") is True:
        problems.append("schedule is true: give a schedule such as '0 9 * * 1' or 'every 6h', or false for no monitor")
    if problems:
        raise GoalError(f"the context can't be used: {'; '.join(problems)}")
    return given
