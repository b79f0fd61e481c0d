"""Who may call, how fast, and for how many credits: one Hunter account with one key."""

import hmac
from typing import Any

from starlette.requests import Request

from leadplan_sandbox.hunter.errors import HunterApiError, rate_limited
from leadplan_sandbox.rate_limits import RateLimiter
from leadplan_sandbox.settings import SandboxSettings

TEST_KEY = "test-api-key"
"""Hunter's public key for trying out three calls: it gets a fixed answer."""
VERIFICATION_COST = 0.5
"""Credits of a verification with a result; third parties name this price, Hunter's documentation names none."""

_LIMITS = {"search": (15, 500), "enrichment": (15, 500), "finder": (15, 500), "verifier": (10, 300)}


class HunterAccount:
    """Key, rate limits and credits."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._key = settings.hunter_key.get_secret_value()
        self._limiters = {
            group: RateLimiter(*limits, holds=lambda: settings.rate_limits) for group, limits in _LIMITS.items()
        }
        self.credits_used = 0.0

    def reset(self) -> None:
        """Full credits, and no call counted."""
        self.credits_used = 0.0
        for limiter in self._limiters.values():
            limiter.reset()

    def admit(self, request: Request, group: str | None = None) -> None:
        """Check key and rate limit (``group`` None: no limit is documented).

        Raises:
            HunterApiError: 401 for a missing or wrong key, 429 (or 403, by setting) for a call that comes too fast.
        """
        if not hmac.compare_digest((_key_of(request) or "").encode(), self._key.encode()):
            raise HunterApiError(401)
        if group is not None:
            wait = self._limiters[group].seconds_to_wait()
            if wait:
                raise rate_limited(self._settings.hunter_rate_limit_status, wait)

    def tries_out(self, request: Request) -> bool:
        """Whether the call uses the public test key."""
        return _key_of(request) == TEST_KEY

    @property
    def is_free(self) -> bool:
        """Whether it is on the free plan."""
        return self._settings.hunter_plan == "free"

    def require_credits(self) -> None:
        """Refuse a call that costs when nothing is left.

        Raises:
            HunterApiError: 402 (or 429, by setting).
        """
        if self.credits_used >= self._settings.hunter_credits:
            text = "You've reached the limit of requests of your plan for this month."
            raise HunterApiError(self._settings.hunter_quota_status, "usage_limit_reached", text)

    def charge(self, credits_: float) -> None:
        """Count credits as used."""
        self.credits_used += credits_

    def as_json(self) -> dict[str, Any]:
        """``data`` of ``GET /account``."""
        bucket = {"used": self.credits_used, "available": self._settings.hunter_credits}
        return {
            "first_name": "Sandbox",
            "last_name": "Owner",
            "email": "owner@sandbox.example",
            "plan_name": "Free" if self.is_free else "Growth",
            "plan_level": 0 if self.is_free else 2,
            "reset_date": "2026-12-01",
            "team_id": 1,
            "requests": {"credits": bucket, "searches": bucket, "verifications": bucket},
        }


def _key_of(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else None
    return request.headers.get("x-api-key") or bearer or request.query_params.get("api_key")
