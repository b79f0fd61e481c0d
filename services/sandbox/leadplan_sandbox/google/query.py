"""What the words of a query mean."""

import re

from leadplan_sandbox.google.areas import Point
from leadplan_sandbox.google.request import SearchTextRequest
from leadplan_sandbox.world.cities import KNOWN_CITIES, City, city_named, city_nearest, country_named
from leadplan_sandbox.world.spelling import words_of
from leadplan_sandbox.world.trades import Trade, trade_named

_DEFAULT_CITY = "london"
_IN_A_CITY = re.compile(r"(?P<what>.+?)\s+(?:in|near|around|à|en)\s+(?P<where>\S.*)", re.IGNORECASE)
_MOST_WORDS_OF_A_CITY = 3


def understand(request: SearchTextRequest) -> tuple[Trade, City]:
    """What a query looks for, and where: "<trade> in <city>[, <country>]", "<trade> <known city>", or a trade alone.

    A trade alone is looked for in the area that the call names, else in London.
    """
    country = country_named(request.region_code) if request.region_code else None
    if matched := _IN_A_CITY.match(request.text_query.strip()):
        city_name, *rest = [part.strip() for part in matched["where"].split(",")]
        named_country = country_named(rest[-1]) if rest else None
        return trade_named(matched["what"]), city_named(city_name or _DEFAULT_CITY, named_country or country)
    words = words_of(request.text_query)
    for length in range(_MOST_WORDS_OF_A_CITY, 0, -1):
        slug = "-".join(words[-length:])
        if slug in KNOWN_CITIES and len(words) > length:
            return trade_named(" ".join(words[:-length])), KNOWN_CITIES[slug]
    return trade_named(request.text_query), _city_meant_by(request.area.middle() if request.area else None)


def _city_meant_by(middle: Point | None) -> City:
    return city_named(_DEFAULT_CITY) if middle is None else city_nearest(*middle)
