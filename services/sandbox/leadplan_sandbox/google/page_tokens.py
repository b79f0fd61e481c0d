"""Page tokens: each stands for the next page of one very search, for a while."""

import base64
import time
from collections.abc import Callable

from leadplan_sandbox.google.errors import GoogleApiError, bad_request

TOKEN_SECONDS = 3600.0
"""How long a token is taken. Google documents no time; an hour is a guess, so that stored tokens fail here as well."""


class PageTokens:
    """The tokens that were given out. A start or a reset makes all of them unknown.

    Args:
        clock: seconds, never going back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._given_out: dict[str, float] = {}

    def reset(self) -> None:
        """Forget all tokens."""
        self._given_out.clear()

    def issue(self, fingerprint: str, offset: int) -> str:
        """A token for the results from ``offset`` on of the search with this fingerprint."""
        now = self._clock()
        for token in [token for token, issued in self._given_out.items() if now - issued >= TOKEN_SECONDS]:
            del self._given_out[token]
        token = base64.urlsafe_b64encode(f"{fingerprint}:{offset}".encode()).decode().rstrip("=")
        self._given_out[token] = now
        return token

    def offset(self, token: str, fingerprint: str) -> int:
        """Where the page of a token begins.

        Raises:
            GoogleApiError: 400, for a token that is unknown, too old, or of another search.
        """
        issued = self._given_out.get(token)
        if issued is None or self._clock() - issued >= TOKEN_SECONDS:
            raise _refused("The page token is unknown or has expired.")
        padded = token + "=" * (-len(token) % 4)
        of_search, _, offset = base64.urlsafe_b64decode(padded).decode().partition(":")
        if of_search != fingerprint:
            raise _refused(
                "The page token is of another request: all fields but page_token, page_size and max_result_count "
                "must stay the same."
            )
        return int(offset)


def _refused(description: str) -> GoogleApiError:
    return GoogleApiError(400, "Request contains an invalid argument.", [bad_request([("page_token", description)])])
