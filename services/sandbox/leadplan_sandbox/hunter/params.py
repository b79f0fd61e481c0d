"""Reading query parameters and bodies as Hunter does."""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from leadplan_sandbox.hunter.errors import HunterApiError

_DOMAIN = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+([a-z]{2,63}|xn--[a-z0-9-]{1,59})")
_EMAIL = re.compile(r"[^@\s,;<>()]{1,64}@(?P<domain>[^@\s]+)")


def whole_number(query: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    """A number within bounds.

    Raises:
        HunterApiError: 400 ``pagination_error``.
    """
    text = query.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"\d{1,9}", text) or not low <= int(text) <= high:
        raise HunterApiError(400, "pagination_error", f"The parameter '{name}' must be a number from {low} to {high}.")
    return int(text)


def only_known(query: Mapping[str, str], names: Collection[str]) -> None:
    """Check that there are no other parameters.

    Raises:
        HunterApiError: 400 ``wrong_params``.
    """
    unknown = [name for name in query if name not in names]
    if unknown:
        raise HunterApiError(400, "wrong_params", f"There is no parameter '{unknown[0]}'.")


def choices(
    query: Mapping[str, str], name: str, allowed: Collection[str], error_id: str, *, most: int | None = None
) -> list[str]:
    """A comma list of known words, empty when the parameter is absent.

    Raises:
        HunterApiError: 400 with ``error_id`` for other words, or more of them than ``most``.
    """
    wanted = [word.strip() for word in query.get(name, "").split(",") if word.strip()]
    unknown = [word for word in wanted if word not in allowed]
    if unknown or (most is not None and len(wanted) > most):
        known = ", ".join(sorted(allowed))
        raise HunterApiError(400, error_id, f"'{query[name]}' is no valid {name}. Allowed: {known}.")
    return wanted


def domain_or_none(text: str, error_id: str = "wrong_params") -> str | None:
    """A domain in lower case, None when the text is empty.

    Raises:
        HunterApiError: 400 with ``error_id`` when it is no domain.
    """
    domain = text.strip().lower()
    if not domain:
        return None
    if not _DOMAIN.fullmatch(domain):
        raise HunterApiError(400, error_id, f"'{text}' is no valid domain name.")
    return domain


def is_email(text: str) -> bool:
    """Whether a text has the form of an e-mail address."""
    matched = _EMAIL.fullmatch(text.strip().lower())
    return matched is not None and _DOMAIN.fullmatch(matched["domain"]) is not None


def email_param(query: Mapping[str, str]) -> str:
    """The parameter ``email`` in lower case.

    Raises:
        HunterApiError: 400 ``wrong_params`` when it is absent, ``invalid_email`` when it is none.
    """
    email = query.get("email", "").strip().lower()
    if not email:
        raise HunterApiError(400, "wrong_params", "You are missing the email parameter")
    if not is_email(email):
        raise HunterApiError(400, "invalid_email", f"'{email}' is no valid email address.")
    return email


async def body_fields(request: Request) -> dict[str, Any]:
    """The fields of a JSON or form body; Hunter takes both. A form's ``name[]`` becomes a list.

    Raises:
        HunterApiError: 400 ``wrong_params`` when it is neither.
    """
    body = await request.body()
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return _form_fields(body.decode(errors="replace"))
    try:
        fields = json.loads(body or b"{}")
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise HunterApiError(400, "wrong_params", "The body is no JSON object.")
    return fields


def _form_fields(body: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in parse_qsl(body):
        if name.endswith("[]"):
            fields.setdefault(name.removesuffix("[]"), []).append(value)
        else:
            fields[name] = value
    return fields
