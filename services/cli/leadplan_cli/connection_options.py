"""Options that say which server a command talks to: before the command's name, and the usual ones behind it too.

This module is loaded by every command, so it imports nothing of NATS.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Annotated, Any

import typer

PANEL = "The server"
"""The section of the help that these options are listed in."""


def _option(*names: str, of: str, metavar: str, **more: Any) -> Any:
    return typer.Option(*names, rich_help_panel=PANEL, help=of, metavar=metavar, **more)


def complete_context(incomplete: str) -> list[str]:
    """The names of contexts that begin so."""
    from leadplan_cli.nats_contexts import known_contexts  # noqa: PLC0415 - for shell completion only

    return [name for name in known_contexts() if name.startswith(incomplete)]


ServerOption = Annotated[
    str | None, _option("--server", "-s", of="Address of the NATS server. [NATS_URL]", metavar="URL")
]
ContextOption = Annotated[
    str | None,
    _option(
        "--context",
        of="A context of the nats command. [NATS_CONTEXT]",
        metavar="NAME",
        autocompletion=complete_context,
    ),
]
CredsOption = Annotated[str | None, _option("--creds", of="Credentials file. [NATS_CREDS]", metavar="FILE")]
UserOption = Annotated[
    str | None, _option("--user", of="User; with no password it is a token. [NATS_USER]", metavar="NAME")
]
PasswordOption = Annotated[
    str | None,
    _option("--password", of="Better in NATS_PASSWORD: others see a command's options.", metavar="TEXT"),
]
NkeyOption = Annotated[str | None, _option("--nkey", of="File with a user's nkey. [NATS_NKEY]", metavar="FILE")]
TlsCaOption = Annotated[
    str | None, _option("--tlsca", of="File with certificate authorities. [NATS_CA]", metavar="FILE")
]
TlsCertOption = Annotated[
    str | None, _option("--tlscert", of="File with the client's certificate. [NATS_CERT]", metavar="FILE")
]
TlsKeyOption = Annotated[
    str | None, _option("--tlskey", of="File with the key of the certificate. [NATS_KEY]", metavar="FILE")
]

_BEHIND = {"server": ServerOption, "context": ContextOption, "creds": CredsOption}
_MARK = "leadplan_connects"


given_options: ContextVar[Mapping[str, Any]] = ContextVar("given_options", default=MappingProxyType({}))
"""The connection options of the command that runs, by the names of ``ConnectionSettings``."""


def begin_options(**given: str | None) -> None:
    """Keep the options that stand before the command's name; what an earlier command was given is forgotten."""
    given_options.set({name: value for name, value in given.items() if value is not None})


def add_options(**given: str | None) -> None:
    """Keep the options behind the command's name, in place of those before it."""
    given_options.set({**given_options.get(), **{name: value for name, value in given.items() if value is not None}})


def connecting(command: Callable[..., None]) -> Callable[..., None]:
    """A command that talks to the NATS server: it takes ``--server``, ``--context`` and ``--creds`` as well."""
    signature = inspect.signature(command, eval_str=True)
    further = [
        inspect.Parameter(f"connection_{name}", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
        for name, option in _BEHIND.items()
    ]

    @functools.wraps(command)
    def with_connection(**values: Any) -> None:
        add_options(**{name: values.pop(f"connection_{name}", None) for name in _BEHIND})
        command(**values)

    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in signature.parameters.values()]
    vars(with_connection)["__signature__"] = signature.replace(parameters=[*parameters, *further])
    vars(with_connection)[_MARK] = True
    return with_connection


def connects(command: Callable[..., Any] | None) -> bool:
    """Whether a command was made by ``connecting``."""
    return command is not None and _MARK in vars(command)
