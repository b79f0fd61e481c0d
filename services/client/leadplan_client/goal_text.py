"""What a goal in words asks to search for. Rules, no language model: the same words always give the same query."""

import re
from typing import NamedTuple

_OPENING = re.compile(
    r"(?:please\s+|i\s+(?:want|need)\s+(?:you\s+)?to\s+|help\s+me\s+(?:to\s+)?)?"
    r"(?:(?:find|search(?:\s+for)?|look(?:\s+for|\s+up)?|get|list|discover|identify|collect|source)\b(?:\s+me)?|"
    r"(?:start|begin)\s+outreach\s+(?:to|for|with)\b)?"
    r"(?:\s*\b(?:all(?:\s+the)?|some|the)\b)?\s*",
    re.IGNORECASE,
)
_COUNT = re.compile(r"(?:(?:up\s+to|about|around|at\s+least)\s+)?([0-9]{1,6})\s+(?=\S)", re.IGNORECASE)
_VERBS = (
    "start|begin|launch|set|run|do|e-?mail|mail|write|contact|reach|message|invite|call|send|add|put|save|store|export|"
    "enrich|verify|monitor|watch|track|follow|keep|repeat|check"
)
_JOINED = r"(?:[.,;!?]\s*(?:(?:and|then|also|please)\s+)*|\s+(?:(?:and|then|also|&)\s+)+)"
_WHAT_ELSE_TO_DO = re.compile(rf"{_JOINED}(?:{_VERBS})\b|\s(?:so\s+that|in\s+order\s+to)\s", re.IGNORECASE)
_PLACE = re.compile(r"^(?P<what>.+?)\s+(?:in|near|around)\s+(?P<where>.+)$", re.IGNORECASE)


class WantedLeads(NamedTuple):
    """What to search for; ``target_count`` is a number that stood before it, as in "find 40 dentists"."""

    query: str
    target_count: int | None


def read_goal(description: str) -> WantedLeads:
    """Take the opening ("Find me"), a number, and what else is to be done ("and start outreach") off a goal.

    ``Find 40 dentists in Leeds and start outreach`` gives ``("dentists in Leeds", 40)``. The query is empty when
    nothing is left.
    """
    text = " ".join(description.split())
    text = text[_match_end(_OPENING, text) :]
    count: int | None = None
    if found := _COUNT.match(text):
        count = int(found.group(1))
        text = text[found.end() :]
    if cut := _WHAT_ELSE_TO_DO.search(f" {text}"):
        text = text[: max(cut.start() - 1, 0)]
    return WantedLeads(text.strip(" .,;:!?"), count or None)


def title_of(query: str) -> str:
    """``dentists in Leeds`` as ``Dentists in Leeds``."""
    return query[:1].upper() + query[1:]


def list_name_of(query: str) -> str:
    """``dentists in Leeds`` as ``Leeds dentists``."""
    parts = _PLACE.match(query)
    return title_of(f"{parts['where']} {parts['what']}" if parts else query)


def _match_end(pattern: re.Pattern[str], text: str) -> int:
    found = pattern.match(text)
    return found.end() if found else 0
