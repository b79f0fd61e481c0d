"""From a web address to the domain that a company owns.

The rule is small on purpose: a registrable domain is the last two labels of a host, or the last three where the last
two are one of the two-level endings below, such as ``co.uk``. That is right for nearly all businesses. The full list of
such endings (publicsuffix.org) has thousands of entries; where ours lacks one, a host such as ``www.acme.co.xy`` is cut
to ``co.xy``, for which Hunter knows nobody. The lookup says so with the domain that it searched.
"""

import ipaddress
import re
from urllib.parse import urlsplit

# Where registrations happen below the second label, by country.
_SECOND_LEVELS = {
    "ar": "com edu gob net org",
    "at": "ac co gv or",
    "au": "asn com edu gov id net org",
    "bd": "com edu net org",
    "br": "com edu eco gov ind med net odo org adv arq eng",
    "cn": "ac com edu gov net org",
    "co": "com edu gov net org",
    "cy": "ac com gov net org",
    "eg": "com edu gov net org",
    "gh": "com edu gov org",
    "hk": "com edu gov net org",
    "hu": "co",
    "id": "ac co go or sch web",
    "il": "ac co gov muni net org",
    "in": "ac co edu firm gen gov ind net org res",
    "jp": "ac co ed go gr ne or",
    "ke": "ac co go ne or",
    "kr": "ac co go ne or pe re",
    "lk": "com edu gov net org",
    "ma": "ac co gov net org",
    "mt": "com edu net org",
    "mx": "com edu gob net org",
    "my": "com edu gov net org",
    "ng": "com edu gov net org",
    "nz": "ac co geek gen govt health iwi kiwi maori net org school",
    "pe": "com edu gob net org",
    "ph": "com edu gov net org",
    "pk": "com edu gov net org",
    "pl": "biz com edu gov info net org waw",
    "pt": "com edu gov org",
    "ro": "com org",
    "ru": "com msk spb",
    "sa": "com edu gov med net org",
    "sg": "com edu gov net org per",
    "th": "ac co go in net or",
    "tr": "av bel biz com dr edu gen gov info k12 name net org pol tel web",
    "tw": "com edu gov idv net org",
    "ua": "com edu gov in kiev kyiv net org",
    "uk": "ac co gov ltd me net nhs org plc police sch",
    "uy": "com edu gub net org",
    "ve": "co com edu gob net org",
    "vn": "com edu gov net org",
    "za": "ac co edu gov law net nom org web",
}

# Social networks, link pages and messengers.
_SOCIAL = """
facebook.com fb.com fb.me instagram.com twitter.com x.com tiktok.com youtube.com youtu.be linkedin.com
pinterest.com threads.net linktr.ee linkin.bio beacons.ai bio.link taplink.cc whatsapp.com wa.me t.me
"""
# Where customers get a name below the domain of their provider.
_SITE_BUILDERS = """
wixsite.com wix.com editorx.io weebly.com weeblysite.com squarespace.com square.site wordpress.com blogspot.com
blogger.com webnode.com webnode.page jimdo.com jimdosite.com jimdofree.com godaddysites.com site123.me strikingly.com
mystrikingly.com yolasite.com webflow.io carrd.co ueniweb.com business.site durable.co myshopify.com shopify.com
github.io gitlab.io netlify.app vercel.app pages.dev herokuapp.com azurewebsites.net web.app firebaseapp.com
"""
# Maps, directories, booking pages and market places.
_DIRECTORIES = """
google.com goo.gl g.page page.link bit.ly yelp.com yelp.co.uk tripadvisor.com tripadvisor.co.uk foursquare.com
yell.com checkatrade.com trustpilot.com booking.com airbnb.com opentable.com opentable.co.uk resy.com thefork.com
doctolib.de doctolib.fr doctolib.it jameda.de zocdoc.com treatwell.co.uk treatwell.de fresha.com booksy.com
calendly.com just-eat.co.uk ubereats.com deliveroo.co.uk deliveroo.com lieferando.de doordash.com toasttab.com
gelbeseiten.de dasoertliche.de pagesjaunes.fr paginegialle.it etsy.com ebay.com ebay.co.uk amazon.com
"""
_MAIL_PROVIDERS = """
gmail.com googlemail.com outlook.com outlook.de hotmail.com hotmail.co.uk hotmail.fr live.com live.co.uk msn.com
yahoo.com yahoo.co.uk yahoo.de yahoo.fr ymail.com aol.com icloud.com me.com mac.com gmx.de gmx.net gmx.com gmx.at
web.de t-online.de freenet.de mail.com mail.ru yandex.ru yandex.com proton.me protonmail.com zoho.com
btinternet.com sky.com virginmedia.com talktalk.net orange.fr wanadoo.fr free.fr laposte.net libero.it
comcast.net qq.com 163.com
"""
_SHARED_HOSTS = frozenset(f"{_SOCIAL} {_SITE_BUILDERS} {_DIRECTORIES}".split())
_WEBMAIL = frozenset(_MAIL_PROVIDERS.split())

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def registrable_domain(address: str) -> str | None:
    """The domain that the owner of a web address or host registered, in lower-case ASCII.

    None for what is no host name on the internet: an IP address, a single word, an ending such as ``co.uk`` alone.
    """
    labels = _host_labels(address)
    if labels is None or len(labels) < 2:
        return None
    taken = 3 if labels[-2] in _SECOND_LEVELS.get(labels[-1], "").split() else 2
    return ".".join(labels[-taken:]) if len(labels) >= taken else None


def is_shared_host(domain: str) -> bool:
    """Whether many businesses have their pages below this registrable domain, so that none of them owns it."""
    return domain in _SHARED_HOSTS


def is_webmail(domain: str) -> bool:
    """Whether anybody can have an address at this registrable domain, so that it says nothing about a company."""
    return domain in _WEBMAIL


def _host_labels(address: str) -> list[str] | None:
    text = address.strip()
    try:
        host = urlsplit(text if "://" in text or text.startswith("//") else f"//{text}").hostname or ""
        ascii_host = host.rstrip(".").encode("idna").decode().lower()
    except (ValueError, UnicodeError):
        return None
    labels = ascii_host.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels) or _is_ip_address(ascii_host):
        return None
    return labels


def _is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
