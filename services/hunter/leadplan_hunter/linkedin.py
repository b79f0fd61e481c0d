"""LinkedIn profiles, which come as bare handles, as paths and as whole web addresses."""

import re

_SITE = "https://www.linkedin.com"
_ADDRESS = re.compile(r"(?:https?://)?(?:[a-z]{2,3}\.)?linkedin\.com/", re.IGNORECASE)


def profile_address(profile: str | None) -> str | None:
    """The web address of a profile: ``ada-hall`` and ``in/ada-hall`` become ``https://www.linkedin.com/in/ada-hall``."""
    text = (profile or "").strip().strip("/")
    if not text or "://" in text:
        return text or None
    path = _ADDRESS.sub("", text)
    return f"{_SITE}/{path if '/' in path else f'in/{path}'}"


def person_handle(profile: str | None) -> str | None:
    """The handle of a person's profile in lower case, which two addresses of one person share; None for others."""
    address = profile_address(profile)
    found = re.search(r"linkedin\.com/in/([^/?#]+)", address, re.IGNORECASE) if address else None
    return found[1].lower() if found else None


def bare_handle(profile: str) -> str:
    """A handle as Hunter takes it: ``ada-hall``, of that or of the profile's address."""
    return person_handle(profile) or profile.strip().strip("/").removeprefix("in/")
