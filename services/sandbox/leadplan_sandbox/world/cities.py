"""Cities: a table of well-known ones, and plausible facts for every other name."""

from dataclasses import dataclass

from leadplan_sandbox.world.chance import fraction
from leadplan_sandbox.world.spelling import words_of


@dataclass(frozen=True)
class Country:
    """What addresses, phones and domains of a country look like. ``latitudes`` and ``longitudes`` bound its land."""

    code: str
    name: str
    calling_code: str
    top_level_domain: str
    latitudes: tuple[float, float]
    longitudes: tuple[float, float]


COUNTRIES = {
    country.code: country
    for country in (
        Country("GB", "United Kingdom", "44", "co.uk", (51.0, 55.5), (-3.5, 0.5)),
        Country("US", "United States", "1", "com", (33.0, 45.0), (-118.0, -78.0)),
        Country("DE", "Germany", "49", "de", (48.5, 53.5), (7.5, 13.0)),
        Country("FR", "France", "33", "fr", (43.8, 49.5), (0.0, 6.0)),
        Country("ES", "Spain", "34", "es", (37.5, 43.0), (-6.0, 0.0)),
        Country("IT", "Italy", "39", "it", (41.5, 45.5), (8.0, 13.0)),
        Country("NL", "Netherlands", "31", "nl", (51.6, 53.0), (4.5, 6.5)),
        Country("BE", "Belgium", "32", "be", (50.3, 51.2), (3.5, 5.5)),
        Country("AT", "Austria", "43", "at", (47.2, 48.4), (11.0, 16.0)),
        Country("CH", "Switzerland", "41", "ch", (46.5, 47.5), (6.8, 9.2)),
        Country("IE", "Ireland", "353", "ie", (52.2, 54.0), (-9.0, -6.5)),
        Country("PT", "Portugal", "351", "pt", (38.0, 41.5), (-8.8, -7.2)),
        Country("PL", "Poland", "48", "pl", (50.2, 53.8), (15.5, 22.5)),
        Country("SE", "Sweden", "46", "se", (56.5, 60.5), (12.5, 17.5)),
        Country("DK", "Denmark", "45", "dk", (55.0, 57.0), (8.8, 12.3)),
        Country("CA", "Canada", "1", "ca", (43.5, 51.0), (-120.0, -72.0)),
        Country("AU", "Australia", "61", "com.au", (-37.0, -28.0), (139.0, 152.0)),
        Country("NZ", "New Zealand", "64", "co.nz", (-45.0, -37.0), (170.0, 176.5)),
        Country("IN", "India", "91", "in", (12.0, 28.5), (73.0, 85.0)),
    )
}
TOP_LEVEL_DOMAINS = sorted({country.top_level_domain for country in COUNTRIES.values()}, key=len, reverse=True)

_COUNTRY_NAMES = {country.name.lower(): country.code for country in COUNTRIES.values()} | {
    "uk": "GB", "england": "GB", "scotland": "GB", "wales": "GB", "northern ireland": "GB", "great britain": "GB",
    "usa": "US", "deutschland": "DE", "españa": "ES", "italia": "IT", "österreich": "AT", "schweiz": "CH",
}  # fmt: skip

_KNOWN = """
GB|London|51.507|-0.128
GB|Leeds|53.801|-1.549
GB|Manchester|53.481|-2.242
GB|Birmingham|52.486|-1.890
GB|Bristol|51.455|-2.588
GB|Liverpool|53.408|-2.992
GB|Sheffield|53.381|-1.470
GB|York|53.960|-1.087
GB|Newcastle upon Tyne|54.978|-1.618
GB|Nottingham|52.955|-1.149
GB|Edinburgh|55.953|-3.188
GB|Glasgow|55.864|-4.252
GB|Cardiff|51.482|-3.179
GB|Belfast|54.597|-5.930
US|New York|40.713|-74.006
US|Los Angeles|34.052|-118.244
US|Chicago|41.878|-87.630
US|Austin|30.267|-97.743
US|Boston|42.360|-71.059
US|Denver|39.739|-104.990
US|Miami|25.762|-80.192
US|Portland|45.515|-122.678
US|San Francisco|37.775|-122.419
US|Seattle|47.606|-122.332
DE|Berlin|52.520|13.405
DE|Hamburg|53.551|9.994
DE|München|48.135|11.582
DE|Munich|48.135|11.582
DE|Köln|50.938|6.960
DE|Frankfurt|50.110|8.682
DE|Leipzig|51.340|12.375
FR|Paris|48.857|2.352
FR|Lyon|45.764|4.836
FR|Marseille|43.296|5.370
ES|Madrid|40.417|-3.704
ES|Barcelona|41.385|2.173
IT|Rome|41.903|12.496
IT|Milan|45.464|9.190
NL|Amsterdam|52.367|4.904
NL|Rotterdam|51.924|4.478
BE|Brussels|50.850|4.352
AT|Vienna|48.208|16.374
AT|Wien|48.208|16.374
CH|Zürich|47.377|8.542
CH|Geneva|46.204|6.143
IE|Dublin|53.350|-6.260
PT|Lisbon|38.722|-9.139
PL|Warsaw|52.230|21.012
SE|Stockholm|59.329|18.069
DK|Copenhagen|55.676|12.568
CA|Toronto|43.653|-79.383
CA|Vancouver|49.283|-123.121
AU|Sydney|-33.869|151.209
AU|Melbourne|-37.814|144.963
NZ|Auckland|-36.848|174.763
IN|Bengaluru|12.972|77.594
"""


@dataclass(frozen=True)
class City:
    """A city with the place that it has on the map, in degrees. ``slug`` is its form in domains."""

    name: str
    country: Country
    latitude: float
    longitude: float

    @property
    def slug(self) -> str:
        """The name as it stands in domains, for instance ``new-york``, at most 26 characters."""
        return "-".join(words_of(self.name))[:26].rstrip("-")


def _read_known() -> dict[str, City]:
    cities = {}
    for line in _KNOWN.strip().splitlines():
        code, name, latitude, longitude = line.split("|")
        city = City(name, COUNTRIES[code], float(latitude), float(longitude))
        cities[city.slug] = city
    return cities


KNOWN_CITIES = _read_known()


def country_named(text: str) -> Country | None:
    """The country of a name or a two-letter code, None for one that the sandbox doesn't know."""
    wanted = text.strip()
    return COUNTRIES.get(_COUNTRY_NAMES.get(wanted.lower(), wanted.upper()))


def city_named(name: str, country: Country | None = None) -> City:
    """The city of this name; an unknown one gets a plausible spot in its country (the United States by default)."""
    slug = "-".join(words_of(name))
    known = KNOWN_CITIES.get(slug)
    if known is not None and country in (None, known.country):
        return known
    home = country or COUNTRIES["US"]
    (south, north), (west, east) = home.latitudes, home.longitudes
    latitude = south + fraction("latitude", slug) * (north - south)
    longitude = west + fraction("longitude", slug) * (east - west)
    title = " ".join(word[:1].upper() + word[1:] for word in name.replace("-", " ").split())
    return City(title or name.strip(), home, round(latitude, 3), round(longitude, 3))


def city_nearest(latitude: float, longitude: float) -> City:
    """The known city that is nearest to a point."""
    return min(
        KNOWN_CITIES.values(), key=lambda city: (city.latitude - latitude) ** 2 + (city.longitude - longitude) ** 2
    )
