"""A request, and everything that came back for it."""

import asyncio
import time
from typing import NamedTuple

import msgspec
from nats.aio.msg import Msg

from leadplan_contracts import LeadToolExecutionResult, ToolProgress, subjects
from leadplan_contracts.error_codes import StepErrorCode
from leadplan_contracts.wire import MAX_NESTING, is_nested_too_deep

_reply_decoder = msgspec.json.Decoder(LeadToolExecutionResult)
_progress_decoder = msgspec.json.Decoder(ToolProgress)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_LONGEST_EXCERPT = 80


class Received(NamedTuple):
    """A message to the reply subject; ``at`` is in seconds of the monotonic clock."""

    at: float
    headers: dict[str, str]
    body: bytes

    @property
    def is_sign_of_life(self) -> bool:
        """Whether it says that the responder is still at it."""
        return self.headers.get(subjects.REPLY_KIND_HEADER) == subjects.REPLY_KIND_WORKING

    @property
    def says_nobody_listens(self) -> bool:
        """Whether the server itself answered, for nobody has subscribed to the tool's subject."""
        return self.headers.get(subjects.STATUS_HEADER) == "503" and not self.body


class Answer(NamedTuple):
    """A final reply as it was read; ``problem`` says what is wrong with it, or that none came."""

    reply: LeadToolExecutionResult | None
    problem: str = ""
    is_service_error: bool = False

    @property
    def is_busy(self) -> bool:
        """Whether the responder asks for the request to be sent again a little later."""
        return self.reply is not None and not self.reply.success and self.reply.error_code == StepErrorCode.BUSY

    @property
    def described(self) -> str:
        """The answer in a few words."""
        if self.reply is None:
            return self.problem
        if self.reply.success:
            return "success"
        return f"error {self.reply.error_code or '(no errorCode)'}: {self.reply.error_message or '(no errorMessage)'}"


class Exchange:
    """A request under way or answered."""

    def __init__(self) -> None:
        self.sent_at = time.monotonic()
        self.received: list[Received] = []
        self._news = asyncio.Event()

    def take(self, message: Msg) -> None:
        """Note a message that came back."""
        self.received.append(Received(time.monotonic(), dict(message.headers or {}), message.data))
        self._news.set()

    @property
    def finals(self) -> list[Received]:
        """Everything but signs of life; there should be one."""
        return [one for one in self.received if not one.is_sign_of_life]

    async def wait_for_any(self, seconds: float) -> bool:
        """Wait for a message of any kind; False when none came in time."""
        try:
            async with asyncio.timeout(seconds):
                while not self.received:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def answer(self, seconds: float) -> Answer:
        """The first final reply, once it is here."""
        try:
            async with asyncio.timeout(seconds):
                while not self.finals:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return Answer(None, f"no final reply within {seconds:g} s")
        return read_answer(self.finals[0])


def read_answer(message: Received) -> Answer:
    """Read a final reply as strictly as an executor does."""
    headers, body = message.headers, message.body
    if message.says_nobody_listens:
        return Answer(None, "nobody listens on the tool's subject any more")
    if (code := headers.get(subjects.SERVICE_ERROR_CODE_HEADER)) is not None:
        text = headers.get(subjects.SERVICE_ERROR_HEADER, "")
        return Answer(None, f"the micro service error {code}: {text}", is_service_error=True)
    if (kind := headers.get(subjects.REPLY_KIND_HEADER)) is not None:
        return Answer(None, f"the header {subjects.REPLY_KIND_HEADER}: {kind}, which no final reply carries")
    if is_nested_too_deep(body):
        return Answer(None, f"JSON that nests deeper than {MAX_NESTING} levels")
    try:
        body.decode()
        reply = _reply_decoder.decode(body)
    except _UNREADABLE as error:
        return Answer(None, f"a message that is no reply ({error}): {_excerpt(body)}{_forgotten_header(body)}")
    if reply.data_ref is not None and reply.data_ref.bucket != subjects.PLAN_DATA_BUCKET:
        return Answer(None, f"a dataRef to bucket {reply.data_ref.bucket}, not {subjects.PLAN_DATA_BUCKET}")
    return Answer(reply)


def sign_problem(message: Received) -> str:
    """What is wrong with the body of a sign of life; empty when nothing is."""
    if not message.body:
        return ""
    try:
        _progress_decoder.decode(message.body)
    except _UNREADABLE as error:
        return f"{error}: {_excerpt(message.body)}"
    return ""


def _excerpt(body: bytes) -> str:
    text = repr(body)[1:]
    return text if len(text) <= _LONGEST_EXCERPT else f"{text[:_LONGEST_EXCERPT]}…"


def _forgotten_header(body: bytes) -> str:
    try:
        progress = _progress_decoder.decode(body)
    except _UNREADABLE:
        return ""
    if progress.progress is None and progress.message is None:
        return ""
    return f"; a sign of life needs the header {subjects.REPLY_KIND_HEADER}: {subjects.REPLY_KIND_WORKING}"
