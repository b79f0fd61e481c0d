"""Hunter's sequences over HTTP (https://hunter.io/api-documentation/v2). All calls made here are free."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, Field

from leadplan_email_sequence.api_errors import sequence_error
from leadplan_email_sequence.sequence_state import SequenceState
from leadplan_leads.addresses import normalise_email
from leadplan_responder.limits import credential_limit
from leadplan_web_apis.errors import ApiCallError
from leadplan_web_apis.hunter_connection import HunterConnection
from leadplan_web_apis.hunter_settings import HunterSettings
from leadplan_web_apis.tolerant import ApiAnswer, TolerantList

BATCH = 50
"""Addresses that Hunter takes in one call."""

_PAGE = 100


class SkippedRecipient(ApiAnswer):
    """An address that Hunter didn't add: ``duplicate``, ``invalid``, ``bounced``, ``unsubscribed`` or ``claimed``."""

    email: str
    reason: str


class AddedRecipients(ApiAnswer):
    """What became of one batch."""

    recipients_added: int
    skipped_recipients: TolerantList[SkippedRecipient] = Field(default=[])


class _Recipient(ApiAnswer):
    email: str


class _Recipients(ApiAnswer):
    recipients: TolerantList[_Recipient]


class _Started(ApiAnswer):
    message: str


class _State(ApiAnswer):
    data: SequenceState


class _Page(ApiAnswer):
    data: _Recipients


class _Added(ApiAnswer):
    data: AddedRecipients


class _Start(ApiAnswer):
    data: _Started


AnswerT = TypeVar("AnswerT", bound=BaseModel)


class SequencesApi:
    """Calls Hunter. It owns its HTTP connections: call `aclose` at the end. No call is repeated here.

    Every call raises `SequenceError` when Hunter refuses or doesn't answer usably, and `CallRefusedError` when it
    surely did nothing.

    Attributes:
        limit: Hunter documents no rate limit for sequences. A 429 holds this, for all who use the key.
    """

    def __init__(self, settings: HunterSettings) -> None:
        self._hunter = HunterConnection(settings)
        self.limit = credential_limit("Hunter sequences", key=settings.api_key)

    async def aclose(self) -> None:
        """Close the HTTP connections."""
        await self._hunter.aclose()

    async def sequence(self, sequence_id: int) -> SequenceState:
        """What Hunter says of a sequence."""
        return (await self._call("GET", sequence_id, "", _State)).data

    async def recipients(self, sequence_id: int) -> set[str]:
        """The addresses in a sequence, normalised, page by page.

        Hunter tells no total, and a page could be shorter than asked for: the end is a page that brings nobody new.
        """
        found: set[str] = set()
        offset = 0
        while True:
            query = {"limit": str(_PAGE), "offset": str(offset)}
            page = (await self._call("GET", sequence_id, "/recipients", _Page, query=query)).data.recipients
            emails = {normalise_email(recipient.email) or recipient.email for recipient in page}
            if emails <= found:
                return found
            found |= emails
            offset += len(page)

    async def add_recipients(self, sequence_id: int, emails: Sequence[str]) -> AddedRecipients:
        """Put at most 50 addresses into a sequence. Those that are in come back as skipped, so a repeat is harmless.

        A sequence that runs mails them at once.

        Raises:
            AddressRefusedError: Hunter refused all of them because of one.
        """
        return (await self._call("POST", sequence_id, "/recipients", _Added, body={"emails": list(emails)})).data

    async def start(self, sequence_id: int) -> None:
        """Start a sequence; one that runs already stays as it is."""
        await self._call("POST", sequence_id, "/start", _Start, body={})

    async def _call(
        self,
        method: str,
        sequence_id: int,
        what: str,
        model: type[AnswerT],
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> AnswerT:
        async with self.limit:
            try:
                answer = await self._hunter.call(method, f"/sequences/{sequence_id}{what}", query=query, body=body)
                return self._hunter.read(answer, model)
            except ApiCallError as failure:
                raise sequence_error(failure, sequence_id) from None
