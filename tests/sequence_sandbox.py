"""A sandbox as Hunter's side sees it: who is in a sequence, who was mailed, what was asked."""

import secrets
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import httpx
from pydantic import SecretStr
from starlette.types import ASGIApp

from leadplan_sandbox import SandboxSettings, build_app, serving


class SequenceSandbox:
    """Hunter's side. Its key is of this sandbox only, for rate limits are kept by key and outlive a test."""

    def __init__(self, url: str, key: str, client: httpx.Client) -> None:
        self.url = url
        self.key = key
        self._client = client

    @property
    def environment(self) -> dict[str, str]:
        """What a tool reads to find it."""
        return {"HUNTER_API_KEY": self.key, "HUNTER_BASE_URL": f"{self.url}/v2"}

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """The ``data`` of Hunter's answer."""
        return self._client.request(method, f"/v2{path}", json=body, params=query).raise_for_status().json()["data"]

    def add(self, *emails: str, to: int = 42) -> None:
        """Put people in by hand."""
        self.call("POST", f"/sequences/{to}/recipients", {"emails": list(emails)})

    def start(self, sequence: int = 42) -> None:
        """Start a sequence by hand."""
        self.call("POST", f"/sequences/{sequence}/start", {})

    def recipients(self, sequence: int = 42) -> list[str]:
        """Everybody in a sequence, in the order in which they came."""
        return [one["email"] for one in self._all(f"/sequences/{sequence}/recipients", "recipients")]

    def mailed(self) -> Counter[str]:
        """How many mails each person got, over all sequences."""
        return Counter(one["recipient_email"] for one in self._all("/messages", "messages"))

    def status(self, sequence: int = 42) -> str:
        """Hunter's word for what a sequence does."""
        return str(self.call("GET", f"/sequences/{sequence}")["status"])

    def fault(self, path: str = "/v2/sequences/42/recipients", **fault: Any) -> None:
        """Switch a fault on: status, times, delayMs, retryAfter, body, method."""
        self._client.post("/admin/faults", json={"path": path, **fault}).raise_for_status()

    def mend(self) -> None:
        """Switch all faults off."""
        self._client.delete("/admin/faults").raise_for_status()

    def requests(self, method: str | None = None, path: str = "/v2/") -> list[Mapping[str, Any]]:
        """What Hunter was asked."""
        query = {"path": path} | ({"method": method} if method else {})
        requests: list[Mapping[str, Any]] = self._client.get("/admin/requests", params=query).json()["requests"]
        return requests

    def forget_requests(self) -> None:
        """Begin a new record."""
        self._client.delete("/admin/requests").raise_for_status()

    def asked_to_add(self) -> list[list[str]]:
        """The addresses of each call that was to add some."""
        return [one["body"]["emails"] for one in self.requests("POST") if one["path"].endswith("/recipients")]

    def starts(self) -> int:
        """How often a start was asked for."""
        return sum(one["path"].endswith("/start") for one in self.requests("POST"))

    def _all(self, path: str, name: str) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        while page := self.call("GET", path, limit=100, offset=len(found))[name]:
            found += page
        return found


class _Server(Protocol):
    url: str
    app: ASGIApp


@contextmanager
def sequence_sandbox(server: _Server | None = None, **settings: Any) -> Iterator[SequenceSandbox]:
    """A new sandbox with a new key, on a running server (the fixture ``sandbox_server``) or on one of its own."""
    key = secrets.token_hex()
    made = SandboxSettings.model_construct(port=0, hunter_key=SecretStr(key), **settings)
    with ExitStack() as stack:
        if server is None:
            url = stack.enter_context(serving(made))
        else:
            url, server.app = server.url, build_app(made)
        # Plain HTTP needs no certificates, and loading them takes longer than most tests.
        client = stack.enter_context(httpx.Client(base_url=url, headers={"X-API-KEY": key}, verify=False))
        yield SequenceSandbox(url, key, client)


def saved_lead(email: str, *, is_new: bool = True, status: str | None = "valid") -> dict[str, Any]:
    """A lead as LEAD_LIST_SAVE returns it."""
    return {"leadId": f"lead_{email}", "email": email, "verificationStatus": status, "isNew": is_new}


def saved(*leads: str | dict[str, Any]) -> dict[str, Any]:
    """What LEAD_LIST_SAVE returns; an address stands for a new and verified lead."""
    listed = [saved_lead(lead) if isinstance(lead, str) else lead for lead in leads]
    return {"listId": "l1", "listName": "Leeds", "leadsNew": len(listed), "leadsUpdated": 0, "leads": listed}


def numbered(count: int, first: int = 0) -> list[str]:
    """So many addresses that Hunter takes."""
    return [f"lead{number}@sandbox.example" for number in range(first, first + count)]
