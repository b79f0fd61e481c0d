"""Names of tools that look like another one, for people who mistyped it."""

from collections.abc import Iterable
from difflib import SequenceMatcher

_ALIKE = 0.75
_MOST_NAMES = 3
_MOST_COMPARED = 1_000


def near_matches(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """At most three of the known tools, the one that is most like the name first.

    Underscores don't count, and neither does the order of words: SEARCH_PLACES is like PLACES_SEARCH.
    """
    compared = sorted(known)[:_MOST_COMPARED]
    alike = sorted((-likeness, other) for other in compared if (likeness := _likeness(name, other)) >= _ALIKE)
    return tuple(other for _, other in alike[:_MOST_NAMES])


def did_you_mean(names: tuple[str, ...]) -> str:
    """A question to put behind a message; empty where there is nothing to suggest."""
    return f"; did you mean {' or '.join(names)}?" if names else ""


def _likeness(one: str, other: str) -> float:
    return max(map(_ratio, _forms(one), _forms(other)))


def _forms(name: str) -> tuple[str, str]:
    words = name.split("_")
    return "".join(words), "".join(sorted(words))


def _ratio(one: str, other: str) -> float:
    """Likeness from 0 to 1; 0 as soon as it is clear that it is below what counts."""
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    if matcher.real_quick_ratio() < _ALIKE or matcher.quick_ratio() < _ALIKE:
        return 0.0
    return matcher.ratio()
