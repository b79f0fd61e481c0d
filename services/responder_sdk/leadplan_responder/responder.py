"""Declaring what a process serves: a responder and its tools."""

import asyncio
import inspect
import math
import re
import sys
import typing
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from types import SimpleNamespace
from typing import Any, Final, Literal, TypeVar

import msgspec

from leadplan_bus.errors import BusError, InvalidAddressError
from leadplan_bus.event_loop import new_event_loop
from leadplan_bus.micro_service import check_identity
from leadplan_contracts import ToolEffects
from leadplan_contracts.wire import TOOL_PATTERN
from leadplan_responder import payloads, plain_logs
from leadplan_responder.context import ToolContext
from leadplan_responder.errors import ConfigurationError, HandlerSignatureError
from leadplan_responder.limits import Holds

# A type variable, so that a decorated function keeps its own type; a coroutine, for a handler must be async.
Handler = TypeVar("Handler", bound=Callable[[Any, ToolContext], Coroutine[Any, Any, Any]])
_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
Hook = Callable[[], Awaitable[None]]
Resolve = Callable[[Any, ToolContext], Coroutine[Any, Any, Any]]


class NotDone(Enum):
    """What a ``resolve`` function returns when the outside world knows nothing of the work."""

    NOT_DONE = auto()


NOT_DONE: Final = NotDone.NOT_DONE
"""Return it from ``resolve``: the earlier run had no effect, and the handler runs now."""


@dataclass(frozen=True)
class Tool:
    """A tool as it is served."""

    name: str
    handler: Callable[[Any, ToolContext], Coroutine[Any, Any, Any]]
    params_model: Any
    effects: ToolEffects
    max_in_flight: int
    description: str
    runs_again_in_doubt: bool = False
    resolve: Resolve | None = None
    limits: tuple[Holds, ...] = ()

    def params_schema(self) -> str:
        """The JSON Schema of the params, as compact JSON text."""
        return msgspec.json.encode(payloads.json_schema(self.params_model)).decode()

    def held_for_ms(self) -> int:
        """Milliseconds, rounded up, until none of its limits is held any more; 0 when none is."""
        return math.ceil(max((limit.held_for() for limit in self.limits), default=0.0) * 1000)


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
        self,
        name: str,
        *,
        effects: Literal["none", "idempotent", "once"],
        max_in_flight: int = 16,
        in_doubt: Literal["fail", "run_again"] | Resolve = "fail",
        limits: Sequence[Holds] = (),
    ) -> Callable[[Handler], Handler]:
        """Serve the decorated async function as a tool.

        Args:
            name: upper case, as in ``tools.<TOOL>``.
            effects: what repeating a request does to the outside world: nothing, nothing more, or harm.
            max_in_flight: handlers at once; further requests are answered ``busy``.
            in_doubt: with effects ``once``, what becomes of a request whose idempotency key an earlier handler left
                without an outcome, because it was cancelled or its process died: ``fail`` with the error ``in_doubt``,
                which a person must settle; ``run_again``; or an async function ``(params, ctx)`` that asks the outside
                world and returns the result of the earlier run, or ``NOT_DONE``. That function is asked as well where
                a plan is retried whose step failed for good: the handler then runs only after ``NOT_DONE``.
            limits: what the handler passes through (``leadplan_responder.limits``). While one of them is held, because
                a provider asked for a pause, further requests are answered ``busy`` with the time that is left.

        Raises:
            ValueError: the name has a bad form or is served already, ``max_in_flight`` is below 1, or ``in_doubt`` is
                given for other effects.
            HandlerSignatureError: the function isn't async or its params aren't annotated with a model.
        """
        if not re.match(TOOL_PATTERN, name):
            raise ValueError(f"{name!r} is no tool name: upper-case letters, digits and _, first a letter")
        if name in self.tools:
            raise ValueError(f"{name} is served by this responder already")
        if max_in_flight < 1:
            raise ValueError("max_in_flight must be at least 1")
        if in_doubt != "fail" and effects != "once":
            raise ValueError('in_doubt is for effects="once": other tools are simply asked again')

        def add(handler: Handler) -> Handler:
            description = (inspect.getdoc(handler) or "").partition("\n")[0]
            self.tools[name] = Tool(
                name,
                handler,
                _params_model(handler),
                ToolEffects(effects),
                max_in_flight,
                description,
                runs_again_in_doubt=in_doubt == "run_again",
                resolve=None if isinstance(in_doubt, str) else in_doubt,
                limits=tuple(limits),
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
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(serve_until_signal(self, ServingSettings.from_environment()))
        except (ConfigurationError, BusError) as error:
            sys.stderr.write(f"{self.name}: {error}\n")
            raise SystemExit(2 if isinstance(error, ConfigurationError | InvalidAddressError) else 1) from None


def _params_model(handler: Callable[..., Any]) -> Any:
    name = getattr(handler, "__name__", repr(handler))
    if not inspect.iscoroutinefunction(handler):
        raise HandlerSignatureError(f"{name} must be an async function")
    parameters = list(inspect.signature(handler).parameters.values())
    if len(parameters) != 2 or any(one.kind not in _BY_POSITION for one in parameters):
        raise HandlerSignatureError(f"{name} must take (params, ctx)")
    model = _evaluated(parameters[0].annotation, handler, name)
    if model is inspect.Parameter.empty:
        raise HandlerSignatureError(f"{name} must annotate its params with a model")
    try:
        payloads.check_is_model(model)
    except TypeError as error:
        shown = getattr(model, "__name__", repr(model))
        raise HandlerSignatureError(f"the params of {name} can't be {shown}: {error}") from None
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
