"""Turning names into the words of a domain, and back."""

import re
import unicodedata

from leadplan_sandbox.world.chance import token

_SPECIAL = str.maketrans({"ß": "ss", "ø": "o", "ł": "l", "æ": "ae", "œ": "oe", "đ": "d"})


def words_of(text: str) -> list[str]:
    """Lower-case ASCII words of a text; a text in another script becomes one word that stands for it."""
    lowered = text.strip().lower().translate(_SPECIAL)
    plain = unicodedata.normalize("NFKD", lowered).encode("ascii", "ignore").decode()
    words = re.findall(r"[a-z0-9]+", plain.replace("'", ""))
    return words or ([f"x{token(6, lowered)}"] if lowered else [])


def singular(word: str) -> str:
    """The singular of an English plural, good enough for trades (bakeries, churches, dentists)."""
    if len(word) < 4:
        return word
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if word.endswith(("sses", "ches", "shes", "xes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word
