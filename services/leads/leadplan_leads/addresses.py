"""The form of an e-mail address under which a lead is unique in a list."""

import hashlib
import unicodedata

_MAX_EMAIL_CHARACTERS = 320


def normalise_email(address: str) -> str | None:
    """Bring an address into the form that is compared: no blanks around it, lower case, the domain in ASCII.

    Mail servers could tell the case of the part before the ``@`` apart (RFC 5321, section 2.4); none in practice do,
    and a person mailed twice is worse. Dots and ``+tags`` stay: what they mean differs from provider to provider.

    Returns:
        The normalised address, or None where the text is no address.
    """
    local, at, domain = unicodedata.normalize("NFC", address).strip().lower().rpartition("@")
    if not (local and at and domain) or any(character.isspace() for character in local + domain):
        return None
    try:
        ascii_domain = domain.encode("idna").decode()
    except UnicodeError:
        return None
    normalised = f"{local}@{ascii_domain}"
    return normalised if len(normalised) <= _MAX_EMAIL_CHARACTERS else None


def address_digest(email: str) -> str:
    """The SHA-256 of a normalised address, as hex: recognises an address again without keeping it."""
    return hashlib.sha256(email.encode()).hexdigest()
