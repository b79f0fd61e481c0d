import pytest

from leadplan_hunter.domains import is_shared_host, is_webmail, registrable_domain


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("https://www.abbey-dental.co.uk/contact?utm_source=maps", "abbey-dental.co.uk"),
        ("http://leeds.practice.com.au:8080/", "practice.com.au"),
        ("https://user@shop.Example.COM./", "example.com"),
        ("example.de", "example.de"),
        ("  www.example.de/impressum ", "example.de"),
        ("//example.fr/x", "example.fr"),
        ("https://smith.surgery.nhs.uk", "surgery.nhs.uk"),
        ("https://zahnarzt-müller.de", "xn--zahnarzt-mller-psb.de"),
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
        "http://192.168.0.1/",
        "http://[::1]/",
        "http://[bad",
        "co.uk",
        "not a website",
        "http://-.com",
        "https://" + "a" * 64 + ".com",
        "tel:+44113",
        "http://exa_mple..com",
    ],
)
def test_what_is_no_host_on_the_internet_has_no_registrable_domain(address):
    assert registrable_domain(address) is None


@pytest.mark.parametrize(
    "website",
    [
        "https://www.facebook.com/smile",
        "https://smile.wixsite.com/home",
        "https://linktr.ee/smile",
        "https://sites.google.com/view/x",
    ],
)
def test_pages_on_hosts_that_many_share_are_recognised(website):
    domain = registrable_domain(website)

    assert domain is not None
    assert is_shared_host(domain)


def test_own_domains_that_resemble_shared_hosts_are_not_taken_for_them():
    assert not is_shared_host("notfacebook.com")
    assert not is_shared_host("facebook.com.example.org")
    assert not is_webmail("gmail.com.example.org")
    assert is_webmail("gmail.com")
