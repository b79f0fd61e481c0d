"""Choices that look random and follow from names alone: the same parts always give the same answer."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import TypeVar

Choice = TypeVar("Choice")
_RANGE = 1 << 64


def _digest(parts: Iterable[str]) -> int:
    return int.from_bytes(blake2b("\x1f".join(parts).encode(), digest_size=8).digest(), "big")


def fraction(*parts: str) -> float:
    """A number from 0 to below 1."""
    return _digest(parts) / _RANGE


def happens(probability: float, *parts: str) -> bool:
    """Whether something of this probability (0 to 1) is so."""
    return fraction(*parts) < probability


def number(low: int, high: int, *parts: str) -> int:
    """A whole number from low to high, both included."""
    return low + _digest(parts) % (high - low + 1)


def pick(options: Sequence[Choice], *parts: str) -> Choice:
    """One of the options; raises ZeroDivisionError when there are none."""
    return options[_digest(parts) % len(options)]


def pick_weighted(options: Sequence[tuple[Choice, float]], *parts: str) -> Choice:
    """One of the options, each with its weight."""
    rest = fraction(*parts) * sum(weight for _, weight in options)
    for option, weight in options:
        rest -= weight
        if rest < 0:
            return option
    return options[-1][0]


def shuffled(options: Sequence[str], *parts: str) -> list[str]:
    """All options in an order of their own."""
    return sorted(options, key=lambda option: _digest((*parts, option)))


def token(length: int, *parts: str) -> str:
    """Hexadecimal characters, at most 32."""
    return blake2b("\x1f".join(parts).encode(), digest_size=16).hexdigest()[:length]
