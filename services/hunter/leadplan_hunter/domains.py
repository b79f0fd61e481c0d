"""From a web address to the domain that a company owns.

Where registrations happen, and which providers hand out names below a domain of theirs, is what the Public Suffix List
says (https://publicsuffix.org), in the copy that the package publicsuffixlist brings: its ICANN section gives the
registrable domain, its private section most of the hosts that many businesses share. The rest of those stands here:
social networks, directories, booking pages and site builders that aren't on the list, and mail providers.
"""

import re
from functools import cache

import httpx
from publicsuffixlist import PublicSuffixList

# Names that are in use inside of networks only (RFC 6761, RFC 6762, and habit).
_INSIDE_ONLY = "arpa corp home internal intranet invalid lan local localhost onion test"

# Private companies that sell names below these, as a registry does: whoever has one owns it. They are on the list's
# private section for the same reason as shared hosts.
_COMPANY_REGISTRIES = """
ae.org africa.com br.com cn.com co.ca co.com co.cz co.nl co.no co.pl co.ua com.de com.ru com.se de.com eu.com gb.net
gr.com hk.com hu.net in.net it.com jp.net jpn.com mex.com net.ru org.ru pp.ru priv.at radio.am radio.fm ru.com sa.com
se.net uk.com uk.net us.com us.org web.in za.bz za.com za.net za.org
"""

# Social networks, link pages and messengers.
_SOCIAL = """
fb.com fb.me twitter.com x.com youtu.be linktr.ee linkin.bio beacons.ai bio.link bio.site taplink.cc lnk.bio
campsite.bio whatsapp.com wa.me t.me telegram.me m.me threads.net threads.com bsky.app vk.com xing.com nextdoor.com
"""
# Site builders that aren't on the Public Suffix List.
_SITE_BUILDERS = """
wix.com weebly.com weeblysite.com squarespace.com wordpress.com blogger.com tumblr.com webnode.com webnode.page
jimdo.com jimdosite.com jimdofree.com godaddysites.com site123.me site123.com strikingly.com mystrikingly.com
ueniweb.com business.site durable.co shopify.com shopify.co github.com gitlab.com notion.so typeform.com eatbu.com
zenfolio.com smugmug.com canva.com
"""
# Maps, short links, directories, booking pages and market places.
_DIRECTORIES = """
goo.gl g.page g.co page.link bit.ly tinyurl.com yell.com checkatrade.com mybuilder.com ratedpeople.com
thomsonlocal.com 192.com cylex-uk.co.uk freeindex.co.uk hotfrog.co.uk bark.com houzz.com angi.com thumbtack.com
yellowpages.com bbb.org manta.com whatclinic.com healthgrades.com zocdoc.com doctolib.de doctolib.fr doctolib.it
jameda.de ratemds.com resy.com thefork.com thefork.co.uk sevenrooms.com quandoo.de quandoo.co.uk fresha.com booksy.com
vagaro.com mindbodyonline.com styleseat.com setmore.com calendly.com acuityscheduling.com simplybook.me simplybook.it
just-eat.co.uk lieferando.de doordash.com grubhub.com toasttab.com eventbrite.com eventbrite.co.uk meetup.com
gelbeseiten.de dasoertliche.de 11880.com meinestadt.de golocal.de herold.at local.ch pagesjaunes.fr paginegialle.it
paginasamarillas.es goldenpages.ie etsy.com gumtree.com rightmove.co.uk zoopla.co.uk immobilienscout24.de
"""
# The same under many endings, such as google.de and yelp.co.uk.
_BRANDS = """
facebook instagram linkedin tiktok youtube pinterest google yelp tripadvisor foursquare trustpilot booking airbnb
opentable treatwell ubereats deliveroo amazon ebay yellowpages
"""
_MAIL_PROVIDERS = """
outlook.com outlook.de outlook.fr outlook.es outlook.it live.com live.co.uk live.de live.fr live.nl msn.com aol.com
aol.de aol.co.uk icloud.com me.com mac.com web.de t-online.de freenet.de arcor.de online.de mail.com mail.de mail.ru
email.com posteo.de mailbox.org yandex.ru yandex.com proton.me pm.me zoho.com fastmail.com tutanota.com hey.com
duck.com btinternet.com btopenworld.com sky.com virginmedia.com talktalk.net ntlworld.com blueyonder.co.uk orange.fr
wanadoo.fr free.fr laposte.net sfr.fr bluewin.ch aon.at libero.it virgilio.it alice.it tin.it ziggo.nl telenet.be
skynet.be comcast.net verizon.net att.net sbcglobal.net bellsouth.net cox.net earthlink.net rogers.com bigpond.com
xtra.co.nz qq.com 163.com 126.com sina.com naver.com rediffmail.com uol.com.br bol.com.br terra.com.br wp.pl o2.pl
onet.pl seznam.cz
"""
_MAIL_BRANDS = "gmail googlemail gmx hotmail yahoo ymail rocketmail protonmail"

_NOT_ON_THE_INTERNET = frozenset(_INSIDE_ONLY.split())
_SOLD_BY_COMPANIES = frozenset(_COMPANY_REGISTRIES.split())
_SHARED_HOSTS = frozenset(f"{_SOCIAL} {_SITE_BUILDERS} {_DIRECTORIES}".split())
_SHARED_EVERYWHERE = frozenset(_BRANDS.split())
_WEBMAIL = frozenset(_MAIL_PROVIDERS.split())
_MAIL_EVERYWHERE = frozenset(_MAIL_BRANDS.split())

_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)+")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_ENDING = re.compile(r"[a-z]{2,63}|xn--[a-z0-9-]{1,59}")
_LONGEST_HOST = 253


def registrable_domain(address: str) -> str | None:
    """The domain that the owner of a web address or host registered, in lower-case ASCII.

    None for what is no host name on the internet: an IP address, a single word, an ending such as ``co.uk`` alone.
    An ending that the Public Suffix List doesn't have (a new one) counts as one under which names are registered.
    """
    host = _host(address)
    return None if host is None else _registrable(host)


def shared_host(address: str) -> str | None:
    """The host below which many businesses have their pages, such as ``wixsite.com`` for ``https://a.wixsite.com/b``.

    None where the address is of a domain that one company owns, or no address.
    """
    host = _host(address)
    domain = None if host is None else _registrable(host)
    if host is None or domain is None:
        return None
    if domain in _SHARED_HOSTS or domain.partition(".")[0] in _SHARED_EVERYWHERE:
        return domain
    suffix = _with_private_section().publicsuffix(host) or ""
    return suffix if suffix == domain or suffix.endswith(f".{domain}") else None


def is_webmail(domain: str) -> bool:
    """Whether anybody can have an address at this registrable domain, so that it says nothing about a company."""
    return domain in _WEBMAIL or domain.partition(".")[0] in _MAIL_EVERYWHERE


# Each takes a few hundredths of a second to read: not before the first address.
@cache
def _icann_section() -> PublicSuffixList:
    return PublicSuffixList(only_icann=True)


@cache
def _with_private_section() -> PublicSuffixList:
    return PublicSuffixList()


def _registrable(host: str) -> str | None:
    domain = _icann_section().privatesuffix(host)
    if domain in _SOLD_BY_COMPANIES:
        name = host.removesuffix(f".{domain}").rpartition(".")[2]
        domain = None if host == domain else f"{name}.{domain}"
    if domain is None or not all(_LABEL.fullmatch(label) for label in domain.split(".")):
        return None
    return domain


def _host(address: str) -> str | None:
    text = address.strip()
    try:
        url = httpx.URL(text if "://" in text or text.startswith("//") else f"//{text}")
    except httpx.InvalidURL:
        return None
    # Names in other scripts are in their ASCII form here (IDNA 2008).
    host = url.raw_host.decode("ascii").removesuffix(".")
    if len(host) > _LONGEST_HOST or not _HOST.fullmatch(host):
        return None
    ending = host.rpartition(".")[2]
    # An ending of digits is that of an IP address.
    return host if _ENDING.fullmatch(ending) and ending not in _NOT_ON_THE_INTERNET else None
