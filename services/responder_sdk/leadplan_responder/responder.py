"""Declaring what a process serves: a responder and its tools."""

import asyncio
import inspect
import re
import sys
import typing
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal, TypeVar

import msgspec

from leadplan_bus.errors import BusError, InvalidAddressError
from leadplan_bus.micro_service import check_identity
from leadplan_contracts import ToolEffects
from leadplan_contracts.wire import TOOL_PATTERN
from leadplan_responder import payloads, plain_logs
from leadplan_responder.context import ToolContext
from leadplan_responder.errors import ConfigurationError, HandlerSignatureError

# A type variable, so that a decorated function keeps its own type; a coroutine, for a handler must be async.
Handler = TypeVar("Handler", bound=Callable[[Any, ToolContext], Coroutine[Any, Any, Any]])
_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
Hook = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Tool:
    """A tool as it is served."""

    name: str
    handler: Callable[[Any, ToolContext], Coroutine[Any, Any, Any]]
    params_model: type[Any]
    effects: ToolEffects
    max_in_flight: int
    description: str

    def params_schema(self) -> str:
        """The JSON Schema of the params, as compact JSON text."""
        return msgspec.json.encode(payloads.json_schema(self.params_model)).decode()


class Responder:
    """One or several tools that a process serves.

    Args:
        name: of the micro service: letters, digits, ``-`` and ``_``.
        version: a semantic version, such as ``1.0.0``.
        description: one line for people who list services.
        on_start: called once connected, before the first request is taken.
        on_stop: called after the last request was answered, in order.

    Raises:
        ValueError: name or version has a bad form.
    """

    def __init__(
        self, name: str, *, version: str, description: str, on_start: Sequence[Hook] = (), on_stop: Sequence[Hook] = ()
    ) -> None:
        check_identity(name, version)
        self.name = name
        self.version = version
        self.description = description
        self.on_start = list(on_start)
        self.on_stop = list(on_stop)
        self.tools: dict[str, Tool] = {}

    def tool(
        self, name: str, *, effects: Literal["none", "idempotent", "once"], max_in_flight: int = 16
    ) -> Callable[[Handler], Handler]:
        """Serve the decorated async function as a tool.

        Args:
            name: upper case, as in ``tools.<TOOL>``.
            effects: what repeating a request does to the outside world: nothing, nothing more, or harm.
            max_in_flight: handlers at once; further requests are answered ``busy``.

        Raises:
            ValueError: the name has a bad form or is served already, or ``max_in_flight`` is below 1.
            HandlerSignatureError: the function isn't async or its params aren't annotated with a model.
        """
        if not re.match(TOOL_PATTERN, name):
            raise ValueError(f"{name!r} is no tool name: upper-case letters, digits and _, first a letter")
        if name in self.tools:
            raise ValueError(f"{name} is served by this responder already")
        if max_in_flight < 1:
            raise ValueError("max_in_flight must be at least 1")

        def add(handler: Handler) -> Handler:
            description = (inspect.getdoc(handler) or "").partition("\n")[0]
            self.tools[name] = Tool(
                name, handler, _params_model(handler), ToolEffects(effects), max_in_flight, description
            )
            return handler

        return add

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; settings come from the environment (see ``ServingSettings``).

        Logs go to standard error, unless the program has set up logging itself.

        Raises:
            SystemExit: after one line on standard error: 2 when a setting is missing or wrong, 1 when there is no NATS
                server or it ended the connection.
        """
        from leadplan_responder.serving import (  # noqa: PLC0415 - serving needs this module
            ServingSettings,
            serve_until_signal,
        )

        plain_logs.configure()
        try:
            asyncio.run(serve_until_signal(self, ServingSettings.from_environment()))
        except (ConfigurationError, BusError) as error:
            sys.stderr.write(f"{self.name}: {error}\n")
            raise SystemExit(2 if isinstance(error, ConfigurationError | InvalidAddressError) else 1) from None


def _params_model(handler: Callable[..., Any]) -> type[Any]:
    name = getattr(handler, "__name__", repr(handler))
    if not inspect.iscoroutinefunction(handler):
        raise HandlerSignatureError(f"{name} must be an async function")
    parameters = list(inspect.signature(handler).parameters.values())
    if len(parameters) != 2 or any(one.kind not in _BY_POSITION for one in parameters):
        raise HandlerSignatureError(f"{name} must take (params, ctx)")
    model = _evaluated(parameters[0].annotation, handler, name)
    if not isinstance(model, type) or model is inspect.Parameter.empty:
        raise HandlerSignatureError(f"{name} must annotate its params with a model")
    try:
        payloads.check_is_model(model)
    except TypeError as error:
        raise HandlerSignatureError(f"the params of {name} can't be a {model.__name__}: {error}") from None
    return model


def _evaluated(annotation: Any, handler: Callable[..., Any], name: str) -> Any:
    if not isinstance(annotation, str):
        return annotation
    only_this = SimpleNamespace(__annotations__={"params": annotation})
    try:
        return typing.get_type_hints(only_this, globalns=getattr(handler, "__globals__", {}))["params"]
    except Exception as error:
        problem = f"the annotation {annotation!r} of {name} can't be resolved ({error})"
        raise HandlerSignatureError(f"{problem}: declare the model at the top of its module") from None
