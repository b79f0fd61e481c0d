"""Companies: everything about one follows from its domain."""

from dataclasses import dataclass
from functools import cached_property

from leadplan_sandbox.world.chance import happens, number, pick, pick_weighted
from leadplan_sandbox.world.cities import TOP_LEVEL_DOMAINS, City, Country, city_named, country_named
from leadplan_sandbox.world.names import BRANDS, SHARED_HOSTS
from leadplan_sandbox.world.trades import Trade, trade_named, trade_of_token

RESERVED_DOMAIN = "sandbox.example"
"""Its addresses behave as their names say (see ``world.people``); example domains never exist (RFC 2606)."""

_BRANDS = frozenset(BRANDS)
_PATTERNS = (("{first}", 4.0), ("{first}.{last}", 4.0), ("{f}{last}", 1.5), ("{last}", 0.5))
_SIZES = (("1-10", 5.0), ("11-50", 3.5), ("51-200", 1.2), ("201-500", 0.3))


@dataclass(frozen=True)
class Company:
    """A company with a domain of its own. ``name`` is what stands over its door."""

    domain: str
    name: str
    trade: Trade
    city: City

    @property
    def pattern(self) -> str:
        """How its addresses are formed, in Hunter's notation."""
        return pick_weighted(_PATTERNS, "pattern", self.domain)

    @property
    def accepts_all_mail(self) -> bool:
        """Whether its mail server takes mail for any address."""
        return self.domain != RESERVED_DOMAIN and happens(0.15, "accept-all", self.domain)

    @property
    def employees(self) -> str:
        """Size band."""
        return pick_weighted(_SIZES, "employees", self.domain)

    @property
    def founded(self) -> int:
        """Year."""
        return number(1962, 2022, "founded", self.domain)

    @property
    def has_profile(self) -> bool:
        """Whether Hunter's company enrichment knows it."""
        return self.domain == RESERVED_DOMAIN or happens(0.88, "profile", self.domain)

    @cached_property
    def people_known(self) -> int:
        """How many addresses Hunter knows: none for about one in eight, a few for most, dozens for some."""
        if self.domain == RESERVED_DOMAIN or happens(0.12, "unknown", self.domain):
            return 0
        if happens(0.06, "large", self.domain):
            return number(25, 60, "people", self.domain)
        return number(1, 9, "people", self.domain)


def company_of(brand: str, trade: Trade, city: City) -> Company:
    """The company that a brand word, a trade and a city make."""
    stem = f"{brand}-{trade.token}-{city.slug}"
    # Only where the name alone leads back to the same city.
    can_be_com = city == city_named(city.slug)
    top_level = "com" if can_be_com and happens(0.3, "com", stem) else city.country.top_level_domain
    return Company(f"{stem}.{top_level}", f"{brand.title()} {pick(trade.endings, 'ending', stem)}", trade, city)


def company_with_domain(domain: str) -> Company | None:
    """The company that owns a domain, None for a domain outside the sandbox's world.

    A subdomain belongs to its company. A shared host is known as the company that runs it.
    """
    host = domain.strip().lower().removeprefix("www.")
    if host == RESERVED_DOMAIN or host in SHARED_HOSTS:
        name = host.split(".", maxsplit=1)[0].capitalize()
        return Company(host, name, trade_named("software"), city_named("San Francisco"))
    for top_level in TOP_LEVEL_DOMAINS:
        if host.endswith(f".{top_level}"):
            return _company_with_stem(host.removesuffix(f".{top_level}").rpartition(".")[2], top_level)
    return None


def _company_with_stem(stem: str, top_level: str) -> Company | None:
    brand, _, rest = stem.partition("-")
    token, _, city_slug = rest.partition("-")
    if brand not in _BRANDS or not token or not city_slug:
        return None
    trade, city = trade_of_token(token), city_named(city_slug, _country_with(top_level))
    return Company(f"{stem}.{top_level}", f"{brand.title()} {pick(trade.endings, 'ending', stem)}", trade, city)


def _country_with(top_level: str) -> Country | None:
    # "com" is used in every country, so there the city's name decides.
    return None if top_level == "com" else country_named(top_level.removeprefix("co.").removeprefix("com."))


def company_with_name(name: str) -> Company | None:
    """A company of this name, None when no company of the sandbox is called so.

    The name needs a brand word first and a city last ("Harrison Dental Care Leeds").
    """
    words = name.split()
    if len(words) < 3 or words[0].lower() not in _BRANDS:
        return None
    return company_of(words[0].lower(), trade_named(" ".join(words[1:-1])), city_named(words[-1]))
