"""Error bodies as Hunter writes them."""

import math

from starlette.responses import JSONResponse, Response

_USUAL = {
    400: ("wrong_params", "Your request is missing some parameters or they are not valid."),
    401: ("authentication_failed", "No user found for the API key supplied"),
    402: ("usage_limit_reached", "You've reached the limit of requests of your plan for this month."),
    403: ("forbidden", "You are not allowed to do this."),
    404: ("not_found", "The resource was not found."),
    409: ("idempotency_key_in_flight", "A request with this idempotency key is under way."),
    422: ("invalid_request", "Your request was well-formed but can't be carried out."),
    429: ("too_many_requests", "You've made too many requests. Please slow down."),
    451: ("claimed_email", "The person behind this address asked us not to process their personal data."),
}
_SERVER_ERROR = ("server_error", "Something went wrong on our side.")


def hunter_error(status: int, error_id: str | None = None, details: str | None = None) -> JSONResponse:
    """An error answer; id and details have the usual text of the status where they are absent."""
    usual_id, usual_details = _USUAL.get(status, _SERVER_ERROR)
    error = {"id": error_id or usual_id, "code": status, "details": details or usual_details}
    return JSONResponse({"errors": [error]}, status)


class HunterApiError(Exception):
    """A call that Hunter refuses; ``response`` is the answer."""

    def __init__(self, status: int, error_id: str | None = None, details: str | None = None) -> None:
        super().__init__(details or error_id)
        self.response: Response = hunter_error(status, error_id, details)


def rate_limited(status: int, wait: float) -> HunterApiError:
    """The refusal of a call that comes too fast; ``wait`` in seconds.

    Hunter's client reads ``Retry-After`` on 429; nothing says that 403 carries it.
    """
    error = HunterApiError(status, *_USUAL[429])
    if status == 429:
        error.response.headers["Retry-After"] = str(math.ceil(wait))
    return error
