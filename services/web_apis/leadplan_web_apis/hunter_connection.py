"""Calls to Hunter.io's API v2."""

from collections.abc import Mapping
from typing import Any

import httpx

from leadplan_web_apis.connection import ApiConnection
from leadplan_web_apis.errors import NoUsableAnswerError
from leadplan_web_apis.hunter_account import Account, AccountAnswer, Allowance
from leadplan_web_apis.hunter_errors import HunterCallError, HunterOutcome, HunterRefusal
from leadplan_web_apis.hunter_settings import HunterSettings


class HunterConnection(ApiConnection):
    """HTTP connections to Hunter, which it owns: call `aclose` at the end. No call is repeated here."""

    def __init__(self, settings: HunterSettings) -> None:
        super().__init__("Hunter", settings, key_header="X-API-KEY")

    async def call(
        self,
        method: str,
        path: str,
        *,
        allowance: Allowance = "searches",
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        timeout: httpx.Timeout | None = None,
    ) -> httpx.Response:
        """Make one call; any 2xx answer is returned, so also 202 and 222.

        Args:
            method: of HTTP.
            path: below the base address.
            allowance: what the call counts against.
            query: parameters in the address.
            body: sent as JSON.
            timeout: as for `request`.

        Raises:
            HunterCallError: Hunter didn't do it. The account, which is free, tells what a 429 means that names no
                cause, and when a used-up allowance is renewed.
            NoUsableAnswerError: no connection, or no answer in time.
        """
        answer = await self.request(method, path, query=query, body=body, timeout=timeout)
        if answer.is_success:
            return answer
        refusal = HunterRefusal.read(self.failed_answer(answer))
        outcome, reset_date = refusal.outcome, None
        if refusal.may_be_quota or outcome is HunterOutcome.QUOTA_USED_UP:
            account = await self._account()
            reset_date = account.reset_date
            if account.is_used_up(allowance):
                outcome = HunterOutcome.QUOTA_USED_UP
        raise HunterCallError(outcome, refusal, reset_date=reset_date)

    async def _account(self) -> Account:
        """The account; one that can't be had tells nothing."""
        try:
            answer = await self.request("GET", "/account")
            return self.read(answer, AccountAnswer).data if answer.is_success else Account()
        except NoUsableAnswerError:
            return Account()
