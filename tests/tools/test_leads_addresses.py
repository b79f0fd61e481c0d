import pytest

from leadplan_leads.addresses import domains_above, normalise_domain, normalise_email
from leadplan_leads.suppressions import normalise_subject


@pytest.mark.parametrize(
    ("given", "normalised"),
    [
        (" Ada.Lovelace+x@Example.COM\n", "ada.lovelace+x@example.com"),
        ("info@Bücher.de", "info@xn--bcher-kva.de"),
        ("u\u0308@example.com", "\u00fc@example.com"),
        ("", None),
        ("ada", None),
        ("@example.com", None),
        ("ada@", None),
        ("a da@example.com", None),
        ("ada@exa mple.com", None),
        ("a\x00da@example.com", None),
        ("\ud800@example.com", None),
        ("ada@..", None),
        (f"{'x' * 320}@example.com", None),
    ],
)
def test_addresses_are_compared_in_one_form(given, normalised):
    assert normalise_email(given) == normalised


@pytest.mark.parametrize(
    ("given", "normalised"),
    [
        ("Example.COM", "example.com"),
        (" @example.com. ", "example.com"),
        ("Bücher.de", "xn--bcher-kva.de"),
        ("com", None),
        ("", None),
        ("a..com", None),
        ("https://example.com", None),
        ("example.com,example.org", None),
        ("ada@example.com", None),
        (f"{'x.' * 130}com", None),
    ],
)
def test_domains_are_compared_in_one_form(given, normalised):
    assert normalise_domain(given) == normalised


@pytest.mark.parametrize(
    ("given", "normalised"),
    [
        ("Ada@Example.com", "ada@example.com"),
        ("@example.com", "example.com"),
        ("example.com", "example.com"),
        ("?", None),
    ],
)
def test_what_is_suppressed_is_an_address_or_a_domain(given, normalised):
    assert normalise_subject(given) == normalised


def test_the_domains_above_an_address_end_before_the_top_level():
    assert list(domains_above("ada@a.b.co.uk")) == ["a.b.co.uk", "b.co.uk", "co.uk"]
    assert list(domains_above("ada@localhost")) == []
