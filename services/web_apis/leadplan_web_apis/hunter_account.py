"""Hunter's ``/account``: what is left of the month's allowances (https://hunter.io/api-documentation/v2)."""

from typing import Literal

from leadplan_web_apis.tolerant import ApiAnswer, ApiDay, Tolerant

Allowance = Literal["searches", "verifications"]
"""What a call counts against, on plans that don't have one bucket of credits for all."""


class UsageBucket(ApiAnswer):
    """How much of an allowance is used; the numbers can be fractional."""

    used: Tolerant[float] = None
    available: Tolerant[float] = None

    @property
    def is_used_up(self) -> bool:
        """True when both numbers are known and nothing is left."""
        return self.used is not None and self.available is not None and self.used >= self.available


class Usage(ApiAnswer):
    """The allowances of a plan; a plan has ``credits`` or the two others."""

    credits: Tolerant[UsageBucket] = None
    searches: Tolerant[UsageBucket] = None
    verifications: Tolerant[UsageBucket] = None


class Account(ApiAnswer):
    """``data`` of ``/account``."""

    reset_date: Tolerant[ApiDay] = None
    requests: Tolerant[Usage] = None

    def is_used_up(self, allowance: Allowance) -> bool:
        """Whether nothing is left of an allowance. Unknown numbers count as something left."""
        if self.requests is None:
            return False
        own = self.requests.verifications if allowance == "verifications" else self.requests.searches
        bucket = self.requests.credits or own
        return bucket is not None and bucket.is_used_up


class AccountAnswer(ApiAnswer):
    """The answer of ``/account``."""

    data: Account
