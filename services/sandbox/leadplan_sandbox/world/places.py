"""The places of a trade in a city, as Google Maps would show them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from leadplan_sandbox.world.chance import fraction, happens, number, pick, pick_weighted, shuffled, token
from leadplan_sandbox.world.cities import KNOWN_CITIES, City
from leadplan_sandbox.world.companies import Company, company_of
from leadplan_sandbox.world.names import BRANDS, SHARED_HOSTS, STREETS
from leadplan_sandbox.world.trades import COMMON_TRADES, Trade

NOWHERE = "nowhere"
"""The city in which no search finds anything."""

FUTURE_OPENING = "FUTURE_OPENING"
"""Status of a place that is still to open."""

_STATUSES = (("OPERATIONAL", 0.93), ("CLOSED_PERMANENTLY", 0.04), ("CLOSED_TEMPORARILY", 0.03))
# Some have no address, or are still to open, and aren't shown: 60 shall be left.
_COMPANIES_OF_A_FULL_SEARCH = 76
_WEBSITE_KINDS = (("own", 0.74), ("none", 0.15), ("shared", 0.08), ("deep link", 0.03))


@dataclass(frozen=True)
class Place:
    """A company's address.

    Attributes:
        company: whose it is; all places of a company share its website.
        branch: empty for the head office.
        is_new_address: whether the head office moved here from the place without this mark, which is closed.
    """

    company: Company
    branch: str = ""
    is_new_address: bool = False

    @property
    def key(self) -> str:
        """What tells it from every other place."""
        return f"{self.company.domain}/{self.branch}{'/new' if self.is_new_address else ''}"

    @property
    def place_id(self) -> str:
        """Stable id in the form of Google's."""
        return f"ChIJ{token(23, 'place', self.key)}"

    @property
    def name(self) -> str:
        """The company's name, with the branch."""
        return f"{self.company.name} - {self.branch}" if self.branch else self.company.name

    @property
    def city(self) -> City:
        """Where it is."""
        return self.company.city

    @property
    def trade(self) -> Trade:
        """What it does."""
        return self.company.trade

    @property
    def types(self) -> tuple[str, ...]:
        """Google's place types, the primary one first: for some it is one that is related to their trade's."""
        related = self.trade.related_type
        own = related if related and happens(0.15, "related type", self.key) else self.trade.place_type
        return own, "point_of_interest", "establishment"

    @property
    def street(self) -> str:
        """Street and number."""
        return f"{number(1, 180, 'house', self.key)} {pick(STREETS, 'street', self.key)}"

    @property
    def latitude(self) -> float:
        """Degrees, within some four kilometres of the centre."""
        return round(self.city.latitude + (fraction("latitude", self.key) - 0.5) * 0.08, 6)

    @property
    def longitude(self) -> float:
        """Degrees, within some four kilometres of the centre."""
        return round(self.city.longitude + (fraction("longitude", self.key) - 0.5) * 0.1, 6)

    @property
    def website(self) -> str | None:
        """Its website: none for some, a page on a shared host for others."""
        domain = self.company.domain
        match pick_weighted(_WEBSITE_KINDS, "website", domain):
            case "none":
                return None
            case "shared":
                host, page = pick(SHARED_HOSTS, "host", domain), domain.partition(".")[0]
                own_subdomain = host in ("business.site", "wixsite.com")
                return f"https://{page}.{host}/" if own_subdomain else f"https://www.{host}/{page}"
            case "deep link":
                return f"http://{domain}/{self.city.slug}?utm_source=google&utm_medium=maps"
            case _:
                return f"https://www.{domain}/" if happens(0.7, "www", domain) else f"https://{domain}/"

    @property
    def local_phone(self) -> str | None:
        """The number without country code, None for one in ten."""
        if happens(0.1, "no phone", self.key):
            return None
        area = number(100, 999, "area", self.city.slug)
        return f"0{area} {number(100, 999, 'p1', self.key)} {number(1000, 9999, 'p2', self.key)}"

    @property
    def rating(self) -> float | None:
        """1.0 to 5.0, None for one in twelve that nobody has rated."""
        return None if happens(0.08, "unrated", self.key) else number(24, 50, "rating", self.key) / 10

    @property
    def rating_count(self) -> int:
        """How many people rated it."""
        return number(1, 640, "ratings", self.key)

    @property
    def status(self) -> str:
        """Google's ``businessStatus``."""
        if self.is_new_address:
            return "OPERATIONAL"
        status = pick_weighted(_STATUSES, "status", self.key)
        return FUTURE_OPENING if status == "OPERATIONAL" and happens(0.01, "opening soon", self.key) else status

    @property
    def moved_to(self) -> "Place | None":
        """Where it moved to, None for one that didn't."""
        is_head_office = not (self.branch or self.is_new_address)
        if is_head_office and self.status == "CLOSED_PERMANENTLY" and happens(0.4, "moved", self.key):
            return Place(self.company, is_new_address=True)
        return None

    @property
    def open_now(self) -> bool | None:
        """Whether it is open, None without known hours. It doesn't follow the clock, so answers stay the same."""
        if happens(0.15, "no hours", self.key) or self.status != "OPERATIONAL":
            return None
        return happens(0.7, "open", self.key)

    @property
    def visits_customers_only(self) -> bool:
        """A pure service area business: without an address."""
        return not (self.branch or self.is_new_address) and happens(0.04, "service area", self.key)


@lru_cache(maxsize=256)
def places_of(trade: Trade, city: City) -> tuple[Place, ...]:
    """All places of a trade in a city, most relevant first: 24 to about 70, none in ``Nowhere``.

    A trade and a city that the sandbox has facts about have 70 or more, so that a search is full.
    """
    if city.slug == NOWHERE:
        return ()
    is_common = KNOWN_CITIES.get(city.slug) == city and trade in COMMON_TRADES
    least, most = (_COMPANIES_OF_A_FULL_SEARCH, len(BRANDS) * 4 // 5) if is_common else (24, len(BRANDS) // 2)
    count = number(least, most, "count", trade.token, city.slug)
    brands = shuffled(BRANDS, "brands", trade.token, city.slug)[:count]
    return tuple(place for brand in brands for place in _places_of_company(company_of(brand, trade, city)))


def _places_of_company(company: Company) -> Iterator[Place]:
    head_office = Place(company)
    yield head_office
    if head_office.moved_to is not None:
        yield head_office.moved_to
    if happens(0.06, "branch", company.domain):
        yield Place(company, pick(("North", "South", "Station", "Market"), "branch name", company.domain))
