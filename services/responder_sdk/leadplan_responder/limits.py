"""Rate and concurrency limits per tool and per credential, shared by all handlers of a process.

    search = credential_limit("Hunter search", key=settings.api_key, per_second=15, per_minute=500, at_once=10)

    async with search:                      # waits for its turn
        answer = await http.get(...)
        if answer.is_error:
            raise tool_error_from(answer, service="Hunter")  # a 429 that names a time holds the limit

Whoever asks for the same limit gets the same one: ten handlers with one API key share its fifteen calls a second. A
limit counts within its process. Where several processes use one credential, give each its ``share``; a hold is told to
them all while they serve a tool that declares the limit (``leadplan_responder.shared_holds``).
"""

import asyncio
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from leadplan_responder.errors import ConfigurationError, ToolError

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter

RATE_LIMITED = "rate_limited"
"""``ToolError.code`` for a provider's 429; with a ``retry_after`` it holds the limit that it leaves."""

LONGEST_HOLD_SECONDS = 3600.0
"""A provider that asks for more is asked again after this time, in case it didn't mean it."""


class _Window(NamedTuple):
    """How long a call counts, in seconds.

    Attributes:
        seconds: from its arrival at the provider. The excess is for clocks that differ.
        under_way: by then it has arrived, if its answer hasn't told so before. A provider that takes its time to answer
            counts the call when it comes, so a slow answer mustn't keep the place for as long as it takes.
    """

    seconds: float
    under_way: float


_SECOND = _Window(1.02, under_way=1.0)
_MINUTE = _Window(61.0, under_way=10.0)
_FINGERPRINTS = b"leadplan.limits"


class Holds(Protocol):
    """Something that may not be used for a while. While it is held, a tool answers new requests ``busy``."""

    def held_for(self) -> float:
        """Seconds until it may be used again; 0 when it isn't held."""
        ...


class _HiddenText(Protocol):
    def get_secret_value(self) -> str: ...


Credential: TypeAlias = str | bytes | _HiddenText
"""An API key or token: text, bytes, or a pydantic ``SecretStr``."""


@dataclass(frozen=True)
class Rates:
    """How much a limit lets through; what is None isn't limited.

    Attributes:
        per_second: calls in any second.
        per_minute: calls in any minute.
        at_once: calls under way at the same time.
        burst: of the calls of a second, how many may leave at the same moment; the others follow at an even pace.

    Raises:
        ValueError: a number below 1, or a burst without ``per_second``.
    """

    per_second: int | None = None
    per_minute: int | None = None
    at_once: int | None = None
    burst: int = 1

    def __post_init__(self) -> None:
        given = {name: number for name, number in vars(self).items() if number is not None}
        if wrong := [f"{name}={number}" for name, number in given.items() if number < 1]:
            raise ValueError(f"a limit's numbers must be at least 1, not {', '.join(wrong)}")
        if self.burst > 1 and self.per_second is None:
            raise ValueError("burst says how the calls of a second leave: give per_second too")

    def shared(self, share: float) -> "Rates":
        """A part of these rates: each number times the share, rounded down, but at least 1.

        Raises:
            ValueError: the share isn't above 0 and at most 1.
        """
        if not 0 < share <= 1:
            raise ValueError(f"a share must be above 0 and at most 1, not {share}")
        # The excess is for products that binary fractions put just below a whole number.
        scaled = {name: max(1, math.floor(number * share + 1e-9)) for name, number in vars(self).items() if number}
        return Rates(**scaled)

    def __str__(self) -> str:
        return ", ".join(f"{name}={number}" for name, number in vars(self).items() if number is not None)

    def pace(self) -> "AsyncLimiter | None":
        """The leaky bucket that spaces calls; None where a second's calls may all leave at the same moment.

        The bucket alone isn't enough: one for 15 calls a second lets nearly 30 through in its first second.

        Raises:
            ConfigurationError: aiolimiter isn't installed.
        """
        if self.per_second is None or self.burst >= self.per_second:
            return None
        try:
            from aiolimiter import AsyncLimiter  # noqa: PLC0415 - the base install is without it
        except ModuleNotFoundError as error:
            message = "aiolimiter is not installed, which limits need: pip install 'leadplan[limits]'"
            raise ConfigurationError(message) from error
        return AsyncLimiter(self.burst, self.burst / self.per_second)


class _Gate:
    """A limit's state in one event loop. Whoever comes first goes through first: one waits at the gate, the rest queue.

    A call takes a place in each window and gives it back a second (a minute) after its *end*: calls that leave in time
    can still arrive closer together than they left, and it is arrivals that a provider counts. Each lies before its
    call's end, and not long after its start: see `_Window`.
    """

    def __init__(self, rates: Rates) -> None:
        counted = [(rates.per_second, _SECOND), (rates.per_minute, _MINUTE)]
        self._windows = [(asyncio.Semaphore(calls), window) for calls, window in counted if calls is not None]
        self._at_once = [] if rates.at_once is None else [asyncio.Semaphore(rates.at_once)]
        self._pace = rates.pace()
        self._turn = asyncio.Lock()
        self._held_until = 0.0

    def hold(self, seconds: float) -> bool:
        """Whether this lengthened what was held already."""
        until = _now() + seconds
        longer = until > self._held_until
        self._held_until = max(self._held_until, until)
        return longer

    def held_for(self) -> float:
        return max(0.0, self._held_until - _now())

    async def enter(self) -> "_Passage":
        taken: list[asyncio.Semaphore] = []
        async with self._turn:
            try:
                for places in [*self._at_once, *(places for places, _ in self._windows)]:
                    await places.acquire()
                    taken.append(places)
                await self._wait_for_the_moment()
            except BaseException:
                for places in taken:  # there was no call: nothing has to pass before another one
                    places.release()
                raise
        return _Passage(self._windows, self._at_once)

    async def _wait_for_the_moment(self) -> None:
        while True:
            if left := self.held_for():
                await asyncio.sleep(left)
            elif self._pace is None:
                return
            else:
                await self._pace.acquire()
                if not self.held_for():  # it may have begun in the meantime
                    return


class _Passage:
    """One call's places in the windows of a gate, from the moment when it leaves."""

    def __init__(self, windows: list[tuple[asyncio.Semaphore, _Window]], at_once: list[asyncio.Semaphore]) -> None:
        self._loop = asyncio.get_running_loop()
        self._at_once = at_once
        self._kept = [
            (self._loop.call_later(window.under_way + window.seconds, places.release), places, window.seconds)
            for places, window in windows
        ]

    def end(self) -> None:
        for at_the_latest, places, seconds in self._kept:
            if at_the_latest.when() > self._loop.time() + seconds:
                at_the_latest.cancel()
                self._loop.call_later(seconds, places.release)
        for places in self._at_once:
            places.release()


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - ``async with`` runs in a task
    return task


def _now() -> float:
    return asyncio.get_running_loop().time()


class Limit:
    """A limit, entered around each call with ``async with``. Waiting for it is in order, and can be cancelled.

    A `ToolError` with the code ``rate_limited`` and a ``retry_after`` that leaves the block holds the limit for that
    time. Get one from `credential_limit` or `tool_limit`.

    Attributes:
        name: for people.
        rates: what it lets through in this process.
        fingerprint: the same in every process for the same limit, whatever its rates; it doesn't give a key away.
    """

    def __init__(self, name: str, rates: Rates, fingerprint: str) -> None:
        rates.pace()  # what is missing is told where the limit is made, not at its first use
        self.name = name
        self.rates = rates
        self.fingerprint = fingerprint
        self._listeners: list[Callable[[float], None]] = []
        self._gates: dict[asyncio.AbstractEventLoop, _Gate] = {}
        self._passages: dict[asyncio.Task[Any], list[_Passage]] = {}

    def hold(self, seconds: float) -> None:
        """Let nobody through for so long (at most an hour), as the provider asked; what is under way goes on.

        A hold never shortens one that lasts longer. Zero, a negative number and NaN do nothing. Listeners are told.
        """
        if self.hold_as_told(seconds):
            for listener in self._listeners:
                listener(min(seconds, LONGEST_HOLD_SECONDS))

    def hold_as_told(self, seconds: float) -> bool:
        """Hold it as `hold` does, without telling anybody: for holds that another process told us of.

        Returns:
            Whether it is held for longer now than it was before.
        """
        return seconds > 0 and self._gate().hold(min(seconds, LONGEST_HOLD_SECONDS))

    def tell_holds_to(self, listener: Callable[[float], None]) -> None:
        """Call this with the seconds of every hold that begins or lengthens here, inside the event loop."""
        self._listeners.append(listener)

    def tell_no_more(self, listener: Callable[[float], None]) -> None:
        """Undo `tell_holds_to`."""
        self._listeners.remove(listener)

    def held_for(self) -> float:
        """Seconds until it lets calls through again; 0 when it isn't held. To be asked inside the event loop."""
        return self._gate().held_for()

    async def __aenter__(self) -> "Limit":
        passage = await self._gate().enter()
        self._passages.setdefault(_this_task(), []).append(passage)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, ToolError) and error.code == RATE_LIMITED and error.retry_after is not None:
            self.hold(error.retry_after)
        task = _this_task()
        passages = self._passages[task]
        passages.pop().end()
        if not passages:
            del self._passages[task]

    def __repr__(self) -> str:
        return f"<Limit {self.name}: {self.rates}>"

    def _gate(self) -> _Gate:
        loop = asyncio.get_running_loop()
        if loop not in self._gates:  # in a process that serves there is one loop; tests have many
            self._gates = {one: gate for one, gate in self._gates.items() if not one.is_closed()}
            self._gates[loop] = _Gate(self.rates)
        return self._gates[loop]


class Limits:
    """Limits by what they are for. A process has one, behind `credential_limit` and `tool_limit`."""

    def __init__(self) -> None:
        self._limits: dict[str, Limit] = {}

    def credential(
        self,
        service: str,
        *,
        key: Credential,
        per_second: int | None = None,
        per_minute: int | None = None,
        at_once: int | None = None,
        burst: int = 1,
        share: float = 1.0,
    ) -> Limit:
        """The limit of a credential at a service: what a provider counts.

        Args:
            service: a name for what is counted together, such as ``Hunter search``; the same in every process.
            key: only a hash of it is kept.
            per_second: calls in any second, at an even pace.
            per_minute: calls in any minute.
            at_once: calls under way at the same time.
            burst: how many calls may leave at the same moment; ``per_second`` for no pace at all.
            share: this process's part of the credential, where others use it too: above 0, at most 1. Each of the
                numbers is multiplied by it and rounded down, but never below 1.

        Raises:
            ValueError: a number is out of range, or the limit is there already with other numbers.
            ConfigurationError: aiolimiter isn't installed, and the numbers need it.
        """
        rates = Rates(per_second, per_minute, at_once, burst).shared(share)
        return self._limit(service, _fingerprint("credential", service, _secret(key)), rates)

    def tool(
        self,
        tool: str,
        *,
        per_second: int | None = None,
        per_minute: int | None = None,
        at_once: int | None = None,
        burst: int = 1,
        share: float = 1.0,
    ) -> Limit:
        """The limit of a tool, whatever credentials its handlers use; arguments and errors as for `credential`."""
        rates = Rates(per_second, per_minute, at_once, burst).shared(share)
        return self._limit(tool, _fingerprint("tool", tool, b""), rates)

    def _limit(self, name: str, fingerprint: str, rates: Rates) -> Limit:
        limit = self._limits.get(fingerprint)
        if limit is None:
            limit = self._limits[fingerprint] = Limit(name, rates, fingerprint)
        elif limit.rates != rates:
            raise ValueError(f"the limit {name!r} is there already, with {limit.rates}; asked for was {rates}")
        return limit


def _secret(key: Credential) -> bytes:
    text = key if isinstance(key, str | bytes) else key.get_secret_value()
    return text.encode() if isinstance(text, str) else text


def _fingerprint(kind: str, name: str, secret: bytes) -> str:
    """Stands for a limit in every process, and travels between them (``limits.held.<fingerprint>``).

    So it has no salt of the process. It needs none: an API key is long and random, nobody finds it by trying.
    """
    hashed = hashlib.blake2b(digest_size=16, person=_FINGERPRINTS)
    for part in (kind.encode(), name.encode(), secret):
        hashed.update(len(part).to_bytes(8, "big") + part)  # with its length, so that no two splits are alike
    return hashed.hexdigest()


_of_this_process = Limits()
credential_limit = _of_this_process.credential
"""`Limits.credential` of this process."""
tool_limit = _of_this_process.tool
"""`Limits.tool` of this process."""
