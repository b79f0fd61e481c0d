"""The forms of e-mail addresses and domains in which they are compared. Needs the standard library only."""

import hashlib
import unicodedata
from collections.abc import Iterator

_MAX_EMAIL_CHARACTERS = 320
_MAX_DOMAIN_CHARACTERS = 253


def normalise_email(address: str) -> str | None:
    """Bring an address into the form that is compared: no blanks around it, lower case, the domain in ASCII.

    Mail servers could tell the case of the part before the ``@`` apart (RFC 5321, section 2.4); none in practice do,
    and a person mailed twice is worse. Dots and ``+tags`` stay: what they mean differs from provider to provider.

    Returns:
        The normalised address, or None where the text is no address.
    """
    local, at, domain = unicodedata.normalize("NFC", address).strip().lower().rpartition("@")
    if not (local and at and domain) or not _is_plain(local + domain):
        return None
    ascii_domain = _ascii_domain(domain)
    if ascii_domain is None:
        return None
    normalised = f"{local}@{ascii_domain}"
    return normalised if len(normalised) <= _MAX_EMAIL_CHARACTERS else None


def normalise_domain(domain: str) -> str | None:
    """Bring a domain into the form that is compared: lower case, ASCII, no ``@`` before it and no dot after it.

    Returns:
        The normalised domain, or None where the text is none, or is a whole top-level domain.
    """
    text = unicodedata.normalize("NFC", domain).strip().lower().removeprefix("@").rstrip(".")
    if "." not in text or not _is_plain(text) or any(character in text for character in "@/:,;"):
        return None
    ascii_domain = _ascii_domain(text)
    if ascii_domain is None or len(ascii_domain) > _MAX_DOMAIN_CHARACTERS:
        return None
    return ascii_domain


def domains_above(email: str) -> Iterator[str]:
    """The domain of a normalised address and its parents, nearest first, without the top-level domain."""
    domain = email.rpartition("@")[2]
    while "." in domain:
        yield domain
        domain = domain.partition(".")[2]


def address_digest(address: str) -> str:
    """The SHA-256 of a normalised address or domain, as hex: recognises it again without keeping it."""
    return hashlib.sha256(address.encode()).hexdigest()


def _is_plain(text: str) -> bool:
    # No blanks, no control characters, no halves of surrogate pairs: databases refuse some of them.
    return text.isprintable() and " " not in text


def _ascii_domain(domain: str) -> str | None:
    try:
        return domain.encode("idna").decode()
    except UnicodeError:
        return None
