"""Contexts of the ``nats`` command: named sets of address, credentials and TLS, as files.

As nats-io/jsm.go stores them (package ``natscontext``): ``nats/context/<name>.json`` and, for the selected one's name,
``nats/context.txt``, in ``$XDG_CONFIG_HOME`` or else in ``~/.config``.
"""

import difflib
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from leadplan_cli.errors import BAD_USE, CommandError

_UNUSABLE = {
    "nsc": "credentials looked up by nsc",
    "socks_proxy": "a SOCKS proxy",
    "jetstream_domain": "a JetStream domain",
    "jetstream_api_prefix": "a JetStream API prefix",
    "windows_cert_store": "the certificate store of Windows",
}
_PATHS = ("creds", "nkey", "cert", "key", "ca")


class NatsContext(msgspec.Struct, kw_only=True):
    """One context. Files are paths with ``~`` and variables expanded; empty texts are what isn't set."""

    name: str = ""
    description: str = ""
    url: str = ""
    token: str = ""
    user: str = ""
    password: str = ""
    creds: str = ""
    nkey: str = ""
    cert: str = ""
    key: str = ""
    ca: str = ""
    user_jwt: str = ""
    user_seed: str = ""
    inbox_prefix: str = ""
    tls_first: bool = False
    nsc: str = ""
    socks_proxy: str = ""
    jetstream_domain: str = ""
    jetstream_api_prefix: str = ""
    windows_cert_store: str = ""

    def __repr__(self) -> str:
        return f"NatsContext({self.name!r})"  # the rest may be secret

    @property
    def unusable(self) -> list[str]:
        """What it asks for that leadplan has no way to do, in words."""
        return [what for field, what in _UNUSABLE.items() if getattr(self, field)]


def context_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder ``nats`` of the user's configuration; it needn't be there."""
    given = environ.get("XDG_CONFIG_HOME")
    return (Path(given) if given else Path(environ.get("HOME") or Path.home()) / ".config") / "nats"


def selected_context(environ: Mapping[str, str] = os.environ) -> str | None:
    """The name that ``nats context select`` wrote, None where nothing is selected."""
    try:
        return (context_folder(environ) / "context.txt").read_text().strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def known_contexts(environ: Mapping[str, str] = os.environ) -> list[str]:
    """The names of all contexts, sorted."""
    try:
        files = list((context_folder(environ) / "context").iterdir())
    except OSError:
        return []
    return sorted(file.stem for file in files if file.suffix == ".json" and file.is_file() and file.stat().st_size)


def read_context(name: str, environ: Mapping[str, str] = os.environ) -> NatsContext:
    """A context by its name, or by the path of its ``.json`` file.

    Raises:
        CommandError: there is none, or its file can't be read.
    """
    is_path = name.endswith(".json") and Path(name).is_file()
    path = Path(name) if is_path else context_folder(environ) / "context" / f"{_checked_name(name)}.json"
    try:
        context = msgspec.json.decode(path.read_bytes(), type=NatsContext)
    except FileNotFoundError:
        raise CommandError(f"there is no context {name!r}; {_alike(name, environ)}", exit_code=BAD_USE) from None
    except OSError as error:
        raise CommandError(f"can't read context {name!r} ({path}): {error.strerror}", exit_code=BAD_USE) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CommandError(f"context {name!r} ({path}) is no context of nats: {error}", exit_code=BAD_USE) from None
    context.name = path.stem if is_path else name
    for field in _PATHS:
        setattr(context, field, _expanded(getattr(context, field), environ))
    return context


def select_context(name: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """Make a context the selected one, for ``nats`` too; returns the one that was selected before.

    Raises:
        CommandError: there is none of that name, or the choice can't be written.
    """
    read_context(_checked_name(name), environ)
    folder, before = context_folder(environ), selected_context(environ)
    try:
        if before is not None:
            _replace(folder / "previous-context.txt", before)
        _replace(folder / "context.txt", name)
    except OSError as error:
        raise CommandError(f"can't write into {folder}: {error.strerror}") from error
    return before


def _checked_name(name: str) -> str:
    if not name or ".." in name or "/" in name or "\\" in name:
        message = f"{name!r} is no name of a context: leadplan context ls shows those there are"
        raise CommandError(message, exit_code=BAD_USE)
    return name


def _alike(name: str, environ: Mapping[str, str]) -> str:
    known = known_contexts(environ)
    if not known:
        return f"nothing lies in {context_folder(environ) / 'context'}; make one: nats context add {name}"
    alike = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {alike[0]}?" if alike else f"there are {', '.join(known)}"


def _expanded(path: str, environ: Mapping[str, str]) -> str:
    """As Go's ``os.ExpandEnv``, where an unknown variable is empty, and with the home folder for ``~``."""

    def value(found: re.Match[str]) -> str:
        return environ.get(found[1] or found[2], "")

    text = re.sub(r"\$(?:\{(\w+)\}|(\w+))", value, path)
    return f"{environ.get('HOME') or Path.home()}{text[1:]}" if text.startswith("~") else text


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all, as ``nats`` does."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f"{path.name}.tmp-", delete=False) as file:
        file.write(text)
    temporary: Any = Path(file.name)
    try:
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
