"""Looking for secrets in bytes: as they are, in parts, URL-encoded, JSON-escaped, in base64 and in hexadecimal."""

import base64
import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

_FRAGMENT = 12
"""A part of a secret as long as this is a leak too: "sk-1234…" helps whoever guesses the rest."""


def forms_of(secret: str) -> dict[str, bytes]:
    """Every form of a secret that is looked for, by its name."""
    plain = secret.encode()
    forms = {
        "as it is": plain,
        "URL-encoded": quote(secret, safe="").encode(),
        "form-encoded": quote_plus(secret).encode(),
        "JSON-escaped": json.dumps(secret)[1:-1].encode(),
        "hexadecimal": plain.hex().encode(),
    }
    for shift in range(3):
        # What stands before it shifts the whole text; the characters at the edges hold bits of their neighbours.
        inside = base64.b64encode(b"\0" * shift + plain)[4 if shift else 0 : -4]
        forms[f"base64, shifted by {shift}"] = inside
        forms[f"URL-safe base64, shifted by {shift}"] = inside.replace(b"+", b"-").replace(b"/", b"_")
    for start in range(len(plain) - _FRAGMENT + 1):
        forms[f"from character {start} on"] = plain[start : start + _FRAGMENT]
    return forms


def leaks(secrets: Mapping[str, str], places: Iterable[tuple[str, bytes]]) -> list[str]:
    """Where which secret stands, and in which form; one line for each secret and place."""
    forms = {name: forms_of(secret) for name, secret in secrets.items()}
    return [
        f"{name} in {place}, {next(form for form, text in forms[name].items() if text in content)}"
        for place, content in places
        for name in secrets
        if any(text in content for text in forms[name].values())
    ]


def files_in(folder: Path, *, without: Iterable[str] = ()) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder, except those of these names."""
    for path in sorted(folder.rglob("*")):
        if path.name in without or not path.is_file():
            continue
        # A running server removes what it doesn't need any more.
        with contextlib.suppress(FileNotFoundError):
            yield str(path.relative_to(folder)), path.read_bytes()
