"""Which server a command talks to, and how it shows who it is: options, environment and contexts put together.

The first of these that says something decides: options; the context that ``--context`` names; the environment; the
context that ``NATS_CONTEXT`` names; the context that ``nats context select`` chose, where neither an address nor a
context was given; the server on this machine. Credentials are taken whole from one of them, never mixed.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from leadplan_bus.access import Access, credentials_file
from leadplan_bus.connection import DEFAULT_URL, without_credentials
from leadplan_cli.connection_options import given_options
from leadplan_cli.errors import BAD_USE, CommandError
from leadplan_cli.nats_contexts import NatsContext, read_context, selected_context
from leadplan_cli.secret_sources import secret_text


@dataclass(frozen=True, kw_only=True)
class ConnectionSettings:
    """What one source says: options, the environment or a context. None is what it doesn't say."""

    server: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    creds: str | None = field(default=None, repr=False)
    nkey: str | None = field(default=None, repr=False)
    user_jwt: str | None = field(default=None, repr=False)
    user_seed: str | None = field(default=None, repr=False)
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    tls_first: bool = False
    inbox_prefix: str | None = None
    context: str | None = None

    @property
    def credentials_kind(self) -> str | None:
        """``user``, ``creds``, ``nkey``, ``jwt`` or ``token``, the first that is there as ``nats`` looks; else None."""
        kinds = {"user": self.user, "creds": self.creds, "nkey": self.nkey, "jwt": self.user_jwt, "token": self.token}
        return next((kind for kind, value in kinds.items() if value is not None), None)


VARIABLES = {
    "server": "NATS_URL",
    "user": "NATS_USER",
    "password": "NATS_PASSWORD",
    "token": "NATS_TOKEN",
    "creds": "NATS_CREDS",
    "nkey": "NATS_NKEY",
    "user_jwt": "NATS_JWT",
    "user_seed": "NATS_SEED",
    "ca": "NATS_CA",
    "cert": "NATS_CERT",
    "key": "NATS_KEY",
    "context": "NATS_CONTEXT",
}
"""The variable of each setting, as the ``nats`` command reads them."""

OPTIONS = {
    "server": "--server",
    "user": "--user",
    "password": "--password",
    "creds": "--creds",
    "nkey": "--nkey",
    "ca": "--tlsca",
    "cert": "--tlscert",
    "key": "--tlskey",
    "context": "--context",
}
"""The option of each setting that has one."""


@dataclass(frozen=True, kw_only=True)
class ConnectionChoice:
    """The outcome.

    Attributes:
        url: the address; may hold a password.
        address_from: where the address was found, such as ``NATS_URL``.
        access: credentials and TLS.
        credentials: their kind and where they were found, without any secret; None where there are none.
        context: the context that took part, if any.
    """

    url: str = field(repr=False)
    address_from: str
    access: Access
    credentials: str | None
    context: str | None

    @property
    def shown_url(self) -> str:
        """The address without credentials."""
        return without_credentials(self.url)


def choose_connection(
    options: ConnectionSettings | None = None, environ: Mapping[str, str] = os.environ
) -> ConnectionChoice:
    """Put everything together; ``options`` are by default those of the command that runs.

    Raises:
        CommandError: a context or a credentials file can't be read.
    """
    options = replace(ConnectionSettings(), **given_options.get()) if options is None else options
    sources = list(_sources(options, environ))
    address = next((source for source in sources if source.settings.server), None)
    access, credentials = _access(sources, environ, address)
    context = next((source.context for source in sources if source.context), None)
    return ConnectionChoice(
        url=(address.settings.server if address else None) or DEFAULT_URL,
        address_from=address.names("server") if address else "default",
        access=access,
        credentials=credentials,
        context=context,
    )


def server_at(url: str) -> ConnectionChoice:
    """The server at an address that is known already, with nothing but what the address holds."""
    return ConnectionChoice(url=url, address_from="this command", access=Access(), credentials=None, context=None)


@dataclass(frozen=True, kw_only=True)
class _Source:
    settings: ConnectionSettings
    context: str | None = None
    is_environment: bool = False

    def names(self, setting: str) -> str:
        """Where a setting of this source stands, for people."""
        if self.context is not None:
            return f"context {self.context}"
        return VARIABLES[setting] if self.is_environment else OPTIONS[setting]


def _sources(options: ConnectionSettings, environ: Mapping[str, str]) -> Iterator[_Source]:
    environment = _environment(environ)
    yield _Source(settings=options)
    if options.context:
        yield _context(options.context, environ)
    yield _Source(settings=environment, is_environment=True)
    if options.context:
        return
    if environment.context:
        yield _context(environment.context, environ)
    elif not (options.server or environment.server) and (selected := selected_context(environ)):
        yield _context(selected, environ)


def _environment(environ: Mapping[str, str]) -> ConnectionSettings:
    given: dict[str, Any] = {name: environ[variable] for name, variable in VARIABLES.items() if environ.get(variable)}
    return replace(ConnectionSettings(), **given)


def _context(name: str, environ: Mapping[str, str]) -> _Source:
    context = read_context(name, environ)
    if context.unusable:
        message = f"context {name!r} asks for {' and '.join(context.unusable)}, which leadplan can't use"
        raise CommandError(message, exit_code=BAD_USE)
    return _Source(settings=_settings_of(context), context=context.name)


def _settings_of(context: NatsContext) -> ConnectionSettings:
    same = ("user", "password", "token", "creds", "nkey", "user_jwt", "user_seed", "ca", "cert", "key", "inbox_prefix")
    given: dict[str, Any] = {name: value for name in same if (value := getattr(context, name))}
    return replace(ConnectionSettings(server=context.url or None, tls_first=context.tls_first), **given)


def _access(sources: list[_Source], environ: Mapping[str, str], address: _Source | None) -> tuple[Access, str | None]:
    """The access, and what its credentials are and where they come from, in words."""
    credentials, described = Access(), None
    for source in sources:
        if kind := source.settings.credentials_kind:
            credentials = _CREDENTIALS[kind](source, sources, environ)
            described = f"{_KINDS[kind]} ({source.names(_SETTING_OF_KIND.get(kind, kind))})"
            break
        if source is address and "@" in (source.settings.server or ""):
            described = f"in the address ({source.names('server')})"
            break
    return replace(credentials, **_tls(sources)), described


def _tls(sources: list[_Source]) -> dict[str, Any]:
    settings = [source.settings for source in sources]
    found: dict[str, Any] = {"tls_first": any(one.tls_first for one in settings)}
    if ca := next((one.ca for one in settings if one.ca), None):
        found["ca"] = Path(ca).expanduser()
    if certified := next((one for one in settings if one.cert), None):
        found["certificate"] = Path(certified.cert or "").expanduser()
        key = certified.key or next((one.key for one in settings if one.key), None)
        found["key"] = Path(key).expanduser() if key else None
    found["inbox_prefix"] = next((one.inbox_prefix for one in settings if one.inbox_prefix), None)
    return found


def _user(source: _Source, sources: list[_Source], environ: Mapping[str, str]) -> Access:
    user = source.settings.user
    given = (one.settings.password for one in [source, *sources])
    password = next((one for one in given if one is not None), None)
    if password is None and source.context is None:
        return Access(token=user)  # as nats has it: a user name alone is a token
    return Access(user=user, password=secret_text(password or "", "the password", environ, bare_is_file=False))


def _token(source: _Source, _: list[_Source], environ: Mapping[str, str]) -> Access:
    return Access(token=secret_text(source.settings.token or "", "the token", environ, bare_is_file=False))


def _creds(source: _Source, _: list[_Source], environ: Mapping[str, str]) -> Access:
    what = f"the credentials file ({source.names('creds')})"
    return Access(creds=secret_text(source.settings.creds or "", what, environ, bare_is_file=True))


def _nkey(source: _Source, _: list[_Source], environ: Mapping[str, str]) -> Access:
    what = f"the nkey file ({source.names('nkey')})"
    return Access(nkey_seed=secret_text(source.settings.nkey or "", what, environ, bare_is_file=True))


def _jwt(source: _Source, sources: list[_Source], environ: Mapping[str, str]) -> Access:
    settings = source.settings
    if settings.user_seed is None:
        raise CommandError(f"a user's JWT ({source.names('user_jwt')}) needs the seed of its nkey", exit_code=BAD_USE)
    jwt = secret_text(settings.user_jwt or "", "the user's JWT", environ, bare_is_file=False)
    seed = secret_text(settings.user_seed, "the user's seed", environ, bare_is_file=False)
    return Access(creds=credentials_file(jwt, seed))


_CREDENTIALS: dict[str, Callable[[_Source, list[_Source], Mapping[str, str]], Access]] = {
    "user": _user,
    "creds": _creds,
    "nkey": _nkey,
    "jwt": _jwt,
    "token": _token,
}
_KINDS = {"user": "user", "creds": "credentials file", "nkey": "nkey", "jwt": "JWT and seed", "token": "token"}
_SETTING_OF_KIND = {"jwt": "user_jwt"}
