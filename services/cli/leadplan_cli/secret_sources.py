"""Where a credential lies: in the text itself, a file, a variable, or inline as ``data:``; as contexts name them."""

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path

from leadplan_cli.errors import BAD_USE, CommandError

_ELSEWHERE = ("op", "nsc")
"""Schemes of jsm.go that ask another program: 1Password's and nsc."""


def secret_text(reference: str, what: str, environ: Mapping[str, str], *, bare_is_file: bool) -> str:
    """The secret that a setting names.

    Args:
        reference: ``file://…``, ``env://NAME``, ``data:;base64,…``, or none of these.
        what: the setting, for messages.
        environ: the environment.
        bare_is_file: whether a reference of no scheme is a file's path; else it is the secret itself.

    Raises:
        CommandError: it can't be had. The message never shows a secret.
    """
    scheme, colon, rest = reference.partition(":")
    scheme = scheme.lower() if colon else ""
    if scheme in _ELSEWHERE and rest.startswith("//"):
        message = f"{what} names {scheme}://…, which leadplan can't ask: give a file, or env://NAME"
        raise CommandError(message, exit_code=BAD_USE)
    if scheme == "env" and rest.startswith("//"):
        return _from_variable(rest[2:], what, environ)
    if scheme == "data":
        return _inline(rest, what)
    if scheme == "file" and rest.startswith("//"):
        return _from_file(rest[2:], what)
    return _from_file(reference, what) if bare_is_file else reference


def _from_variable(name: str, what: str, environ: Mapping[str, str]) -> str:
    if value := environ.get(name):
        return value.rstrip("\r\n")
    raise CommandError(f"{what} is to be in the variable {name!r}, which isn't set", exit_code=BAD_USE)


def _from_file(path: str, what: str) -> str:
    try:
        return Path(path).expanduser().read_text().rstrip("\r\n")
    except OSError as error:
        raise CommandError(f"can't read {what} from {path}: {error.strerror}", exit_code=BAD_USE) from None
    except UnicodeDecodeError:
        raise CommandError(f"{what} in {path} is no text", exit_code=BAD_USE) from None


def _inline(rest: str, what: str) -> str:
    header, comma, body = rest.partition(",")
    try:
        if not comma or "base64" not in header.split(";"):
            raise ValueError
        return base64.b64decode(body, validate=True).decode().rstrip("\r\n")
    except (ValueError, binascii.Error):
        raise CommandError(f"{what} begins with data: and isn't data:;base64,…", exit_code=BAD_USE) from None
