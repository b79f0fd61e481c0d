import string
from pathlib import Path

import publicsuffixlist
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadplan_hunter import domains
from leadplan_hunter.domains import is_webmail, registrable_domain, shared_host


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("https://www.abbey-dental.co.uk/contact?utm_source=maps", "abbey-dental.co.uk"),
        ("http://leeds.practice.com.au:8080/", "practice.com.au"),
        ("https://user:secret@shop.Example.COM./", "example.com"),
        ("example.de", "example.de"),
        ("EXAMPLE.DE/Kontakt", "example.de"),
        ("  www.example.de/impressum ", "example.de"),
        ("//example.fr/x", "example.fr"),
        ("https://smith.surgery.nhs.uk", "surgery.nhs.uk"),
        # Rules of the Public Suffix List that no rule of thumb gives: a wildcard, and an exception from it.
        ("https://www.foo.bar.kobe.jp", "foo.bar.kobe.jp"),
        ("https://www.city.kobe.jp", "city.kobe.jp"),
        ("https://www.dentist.gen.tr", "dentist.gen.tr"),
        # Names in other scripts, in either form; the sharp s is a letter of its own (IDNA 2008).
        ("https://zahnarzt-müller.de", "xn--zahnarzt-mller-psb.de"),
        ("https://www.xn--zahnarzt-mller-psb.de", "xn--zahnarzt-mller-psb.de"),
        ("https://straße.de", "xn--strae-oqa.de"),
        ("http://стоматолог.рф", "xn--80agxcjcbsjd.xn--p1ai"),
        ("http://acme。com", "acme.com"),
        # An underscore can't be registered, but stand below a name.
        ("http://my_shop.example.com", "example.com"),
        # A new ending that the list doesn't have.
        ("https://www.acme.newending", "acme.newending"),
        ("mailto:jo@acme.com", "acme.com"),
        ("jo@acme.com", "acme.com"),
        ("https://page.business.site/", "business.site"),
    ],
)
def test_registrable_domain_of(address, domain):
    assert registrable_domain(address) == domain


@pytest.mark.parametrize(
    "address",
    [
        "",
        "localhost",
        "http://printer.local",
        "http://crm.internal/",
        "http://192.168.0.1/",
        "http://127.1",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://[::1]/",
        "http://[bad",
        "co.uk",
        "http://com",
        "not a website",
        "http://-.com",
        "https://" + "a" * 64 + ".com",
        "https://" + "a." * 130 + "com",
        "tel:+44113",
        "javascript:alert(1)",
        "http://exa_mple.com",
        "http://www..acme.com",
        "http://.acme.com",
        "http://acme.com..",
        "http://acme.com:port",
        "https://www.acme.com%2f.evil.com",
        "http://\x00.com",
    ],
)
def test_what_is_no_host_on_the_internet_has_no_registrable_domain(address):
    assert registrable_domain(address) is None
    assert shared_host(address) is None


@given(st.text(alphabet=st.sampled_from(string.printable + "äß例。@[]"), max_size=60))
def test_no_text_is_too_odd(text):
    domain = registrable_domain(text)
    if domain is not None:
        assert domain.isascii()
        assert domain == domain.lower()
        assert registrable_domain(domain) == domain


@pytest.mark.parametrize(
    ("website", "host"),
    [
        # From the private section of the Public Suffix List.
        ("https://smile.wixsite.com/home", "wixsite.com"),
        ("https://smile.github.io", "github.io"),
        ("http://smile.blogspot.com/", "blogspot.com"),
        ("https://smile.myshopify.com", "myshopify.com"),
        ("wixsite.com", "wixsite.com"),
        ("https://bucket.s3.amazonaws.com/index.html", "s3.amazonaws.com"),
        # From our own lists.
        ("https://www.facebook.com/smile", "facebook.com"),
        ("https://de-de.facebook.com/smile", "facebook.com"),
        ("https://smile.business.site", "business.site"),
        ("https://linktr.ee/smile", "linktr.ee"),
        ("https://sites.google.com/view/x", "google.com"),
        ("https://www.google.de/maps/place/x", "google.de"),
        ("https://www.yelp.ie/biz/smile", "yelp.ie"),
        ("https://www.doctolib.de/zahnarzt/leipzig/x", "doctolib.de"),
    ],
)
def test_pages_on_hosts_that_many_share_are_recognised(website, host):
    assert shared_host(website) == host


@pytest.mark.parametrize(
    "website",
    [
        "https://notfacebook.com",
        "https://facebook.com.example.org",
        "https://www.amazonaws.com",  # only parts of it are shared
        "https://www.acme.co.uk",
        "https://acme.newending",
    ],
)
def test_domains_that_one_company_owns_are_not_taken_for_shared_ones(website):
    assert shared_host(website) is None


@pytest.mark.parametrize(
    ("website", "domain"),
    [("https://www.acme.uk.com", "acme.uk.com"), ("shop.acme.co.nl", "acme.co.nl"), ("https://uk.com", None)],
)
def test_names_that_companies_sell_as_a_registry_does_are_owned(website, domain):
    assert registrable_domain(website) == domain
    assert shared_host(website) is None


def test_what_our_own_lists_say_of_the_public_suffix_list_holds():
    psl = Path(publicsuffixlist.PSLFILE).read_text(encoding="utf-8")
    icann, _, private = psl.partition("===BEGIN PRIVATE DOMAINS===")
    private_rules = set(private.splitlines())
    assert private_rules.issuperset(domains._SOLD_BY_COMPANIES)
    assert domains._SOLD_BY_COMPANIES.isdisjoint(icann.splitlines())
    ours = domains._SHARED_HOSTS | domains._WEBMAIL
    assert {one for one in ours if registrable_domain(one) != one} == set()
    assert domains._SHARED_HOSTS.isdisjoint(private_rules)
    assert domains._SHARED_HOSTS.isdisjoint(domains._WEBMAIL)


@pytest.mark.parametrize("domain", ["gmail.com", "web.de", "hotmail.co.uk", "yahoo.fr", "btinternet.com"])
def test_mail_providers_are_known(domain):
    assert is_webmail(domain)


@pytest.mark.parametrize("domain", ["mygmail.com", "acme.com", "gmail-repairs.co.uk"])
def test_other_domains_are_not_taken_for_mail_providers(domain):
    assert not is_webmail(domain)
