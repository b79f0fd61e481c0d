"""Hunter's sequences over HTTP (https://hunter.io/api-documentation/v2). All calls made here are free."""

from collections.abc import Sequence
from typing import Any

import httpx
from pydantic import BaseModel

from leadplan_email_sequence.api_errors import sequence_error
from leadplan_web_apis.errors import ApiCallError
from leadplan_web_apis.hunter_connection import HunterConnection
from leadplan_web_apis.hunter_settings import HunterSettings

BATCH = 50
"""Addresses that Hunter takes in one call."""


class SkippedRecipient(BaseModel):
    """An address that Hunter didn't add: ``duplicate``, ``invalid``, ``bounced``, ``unsubscribed`` or ``claimed``."""

    email: str
    reason: str


class AddedRecipients(BaseModel):
    """What became of one batch."""

    recipients_added: int
    skipped_recipients: list[SkippedRecipient] = []


class _Added(BaseModel):
    data: AddedRecipients


class SequencesApi:
    """Calls Hunter. It owns its HTTP connections: call `aclose` at the end. No call is repeated here."""

    def __init__(self, settings: HunterSettings) -> None:
        self._hunter = HunterConnection(settings)

    async def aclose(self) -> None:
        """Close the HTTP connections."""
        await self._hunter.aclose()

    async def add_recipients(self, sequence_id: int, emails: Sequence[str]) -> AddedRecipients:
        """Put at most 50 addresses into a sequence. Those that are in come back as skipped, so a repeat is harmless.

        Raises:
            SequenceError: Hunter refused, or didn't answer usably.
        """
        try:
            answer = await self._post(sequence_id, "recipients", {"emails": list(emails)})
            return self._hunter.read(answer, _Added).data
        except ApiCallError as failure:
            raise sequence_error(failure, sequence_id) from None

    async def start(self, sequence_id: int) -> None:
        """Start a sequence; one that runs already stays as it is.

        Raises:
            SequenceError: Hunter refused, or didn't answer.
        """
        try:
            await self._post(sequence_id, "start", {})
        except ApiCallError as failure:
            raise sequence_error(failure, sequence_id) from None

    async def _post(self, sequence_id: int, what: str, body: dict[str, Any]) -> httpx.Response:
        return await self._hunter.call("POST", f"/sequences/{sequence_id}/{what}", body=body)
