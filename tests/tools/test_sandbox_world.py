"""The sandbox's invented world: the same for everybody, and one world for both APIs."""

import re
import subprocess
import sys
from collections import Counter
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadplan_sandbox.hunter.params import domain_or_none
from leadplan_sandbox.world.cities import KNOWN_CITIES, city_named, country_named
from leadplan_sandbox.world.companies import company_with_domain, company_with_name
from leadplan_sandbox.world.names import BRANDS, SHARED_HOSTS
from leadplan_sandbox.world.people import Mailbox, people_of, person_with_email
from leadplan_sandbox.world.places import FUTURE_OPENING, Place, places_of
from leadplan_sandbox.world.trades import COMMON_TRADES, TRADES, trade_named

SEARCHES = [
    (trade, city)
    for trade in ("dentists", "law firms", "plumbers", "vintage bookshops", "歯医者")
    for city in ("Leeds", "New York", "München", "Harrogate", "Ash")
]


def every_place() -> list[Place]:
    return [place for trade, city in SEARCHES for place in places_of(trade_named(trade), city_named(city))]


@pytest.mark.parametrize(("trade", "city"), SEARCHES)
def test_every_trade_in_every_city_has_enough_places(trade, city):
    places = places_of(trade_named(trade), city_named(city))
    assert len(places) >= 24
    assert len({place.place_id for place in places}) == len(places)


def test_the_world_is_large_enough_for_hundreds_of_leads():
    cities = {city.name for city in KNOWN_CITIES.values()}
    assert len(cities) >= 50
    assert len(COMMON_TRADES) >= 35
    for trade in COMMON_TRADES:
        for city in (KNOWN_CITIES["leeds"], KNOWN_CITIES["new-york"], KNOWN_CITIES["berlin"]):
            shown = [
                place
                for place in places_of(trade, city)
                if not place.visits_customers_only and place.status != FUTURE_OPENING
            ]
            assert len(shown) >= 60, (trade.token, city.name)


def test_trades_are_told_apart_by_their_tokens_and_named_as_google_names_types():
    assert len({trade.token for trade in COMMON_TRADES}) == len(COMMON_TRADES)
    for trade in COMMON_TRADES:
        assert trade.token.isalpha()
        assert re.fullmatch("[a-z_]+", trade.place_type)
        assert re.fullmatch("[a-z_]*", trade.related_type)


def test_nothing_is_found_nowhere():
    assert places_of(trade_named("bars"), city_named("Nowhere")) == ()


@given(trade=st.text(min_size=1, max_size=60), city=st.text(min_size=1, max_size=60))
@settings(max_examples=100)
def test_any_words_make_companies_that_are_found_again_by_domain(trade, city):
    found_city = city_named(city.strip() or "Leeds")
    for place in places_of(trade_named(trade), found_city)[:3]:
        company = company_with_domain(domain_or_none(place.company.domain))
        assert company is not None
        assert (company.name, company.domain) == (place.company.name, place.company.domain)
        assert company_with_domain(f"www.{company.domain}") == company


def test_known_cities_and_countries_survive_the_way_over_a_domain():
    for slug, city in KNOWN_CITIES.items():
        place = places_of(trade_named("dentists"), city)[0]
        company = company_with_domain(place.company.domain)
        assert company is not None
        assert (company.city.slug, company.city.country) == (slug, city.country)
        assert company.city.latitude == city.latitude


def test_shares_of_websites_and_closed_places_are_as_in_life():
    places = every_place()
    hosts = [urlsplit(place.website).hostname if place.website else None for place in places]
    shared = sum(host is not None and host.endswith(SHARED_HOSTS) for host in hosts)
    closed = Counter(place.status for place in places)
    assert 0.08 < hosts.count(None) / len(places) < 0.22
    assert 0.04 < shared / len(places) < 0.13
    assert 0.85 < closed["OPERATIONAL"] / len(places) < 0.98
    assert closed["CLOSED_PERMANENTLY"] > 0
    assert closed["CLOSED_TEMPORARILY"] > 0


def test_some_places_share_a_website_and_some_have_no_address():
    places = every_place()
    per_domain = Counter(place.company.domain for place in places)
    assert max(per_domain.values()) > 1
    assert any(place.visits_customers_only for place in places)


def test_some_places_have_moved_and_some_are_still_to_open():
    places = every_place()
    moved = [place for place in places if place.moved_to is not None]
    assert moved
    for place in moved:
        assert place.status == "CLOSED_PERMANENTLY"
        assert place.moved_to in places
        assert place.moved_to.place_id != place.place_id
        assert (place.moved_to.name, place.moved_to.website) == (place.name, place.website)
    assert any(place.status == FUTURE_OPENING for place in places)


def test_companies_have_none_few_or_many_people():
    counts = Counter(len(people_of(place.company)) for place in every_place())
    assert counts[0] > 0
    assert max(counts) > 20
    assert sum(count for number, count in counts.items() if 1 <= number <= 10) > counts[0]


def test_people_are_found_again_by_their_address():
    people = [person for place in every_place()[:60] for person in people_of(place.company)]
    assert len(people) > 100
    assert all(person_with_email(person.email) == person for person in people)
    assert person_with_email("nobody@" + people[0].company.domain) is None


def test_addresses_meet_every_outcome():
    mailboxes = [person.mailbox for place in every_place() for person in people_of(place.company)]
    statuses = Counter(mailbox.status for mailbox in mailboxes)
    assert set(statuses) == {"valid", "invalid", "accept_all", "unknown"}
    assert statuses["valid"] > len(mailboxes) / 2
    assert {mailbox.refusal for mailbox in mailboxes} == {None, "invalid", "bounced", "unsubscribed", "claimed"}
    assert any(mailbox.slow_checks for mailbox in mailboxes)
    assert any(mailbox.server_answers_wrongly for mailbox in mailboxes)


@pytest.mark.parametrize(
    ("email", "status"),
    [
        ("ada@gmail.com", "webmail"),
        ("ada@mailinator.com", "disposable"),
        ("ada@no-such-company.example", "invalid"),
        ("valid@sandbox.example", "valid"),
        ("accept-all@sandbox.example", "accept_all"),
    ],
)
def test_addresses_outside_the_world(email, status):
    assert Mailbox(email).status == status


def test_domains_outside_the_world_are_unknown():
    for domain in ("example.com", "google.com", "harbour.co.uk", "nobrand-dental-leeds.co.uk", "co.uk", ""):
        assert company_with_domain(domain) is None


def test_a_company_is_found_by_its_name():
    company = company_with_name("Harbour Dental Care Leeds")
    assert company is not None
    assert company.domain.startswith("harbour-dental-leeds.")
    assert company_with_name("Unheard Of Company") is None
    assert company_with_name("Harbour") is None


def test_words_of_the_world_can_be_taken_apart_again():
    assert all(brand.isalpha() and brand.islower() for brand in BRANDS)
    assert all("-" not in trade.token for trade in TRADES.values())


def test_countries_are_known_by_name_and_code():
    assert [country_named(text).code for text in ("UK", "gb", "Germany", "usa", "Scotland")] == [
        "GB", "GB", "DE", "US", "GB",
    ]  # fmt: skip
    assert country_named("Atlantis") is None


def test_another_process_sees_the_same_world():
    program = (
        "from leadplan_sandbox.world.places import places_of\n"
        "from leadplan_sandbox.world.trades import trade_named\n"
        "from leadplan_sandbox.world.cities import city_named\n"
        "print([(p.place_id, p.name, p.website) for p in places_of(trade_named('dentists'), city_named('Leeds'))])"
    )
    here = [(p.place_id, p.name, p.website) for p in places_of(trade_named("dentists"), city_named("Leeds"))]
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert there.stdout.strip() == str(here)
