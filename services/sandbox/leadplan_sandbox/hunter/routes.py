"""The HTTP side of the Hunter stand-in; sequences have a module of their own."""

from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from leadplan_sandbox.hunter.access import HunterAccount
from leadplan_sandbox.hunter.enrichment import find_both, find_company, find_person
from leadplan_sandbox.hunter.finder import email_finder
from leadplan_sandbox.hunter.params import body_fields
from leadplan_sandbox.hunter.search import domain_search, domain_search_by_body
from leadplan_sandbox.hunter.sequence_routes import SequenceRoutes
from leadplan_sandbox.hunter.verifier import Verifier
from leadplan_sandbox.settings import SandboxSettings

_Search = Callable[[Mapping[str, str], HunterAccount | None], dict[str, Any]]
_Find = Callable[[Mapping[str, str]], dict[str, Any]]


class Hunter:
    """The Hunter API as one account sees it."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._account = HunterAccount(settings)
        self._verifier = Verifier()
        self._sequences = SequenceRoutes(self._account)

    def reset(self) -> None:
        """Go back to the state after a start: full credits, no verification under way, no recipients."""
        self._account.reset()
        self._verifier.reset()
        self._sequences.reset()

    def routes(self) -> list[Route]:
        """What the stand-in answers on."""
        return [
            Route("/v2/domain-search", self._searching(domain_search, "search"), methods=["GET"]),
            Route("/v2/domain-search", self.search_by_body, methods=["POST"]),
            Route("/v2/email-finder", self._searching(email_finder, "finder"), methods=["GET"]),
            Route("/v2/email-verifier", self.verify, methods=["GET"]),
            Route("/v2/people/find", self._finding(find_person), methods=["GET"]),
            Route("/v2/companies/find", self._finding(find_company), methods=["GET"]),
            Route("/v2/combined/find", self._finding(find_both), methods=["GET"]),
            Route("/v2/account", self.show_account, methods=["GET"]),
            *self._sequences.routes(),
        ]

    async def search_by_body(self, request: Request) -> Response:
        """``POST /domain-search``."""
        payer = self._payer(request, "search")
        return JSONResponse(domain_search_by_body(await body_fields(request), payer))

    async def verify(self, request: Request) -> Response:
        """``GET /email-verifier``."""
        return self._verifier.verify(request.query_params, self._payer(request, "verifier"))

    async def show_account(self, request: Request) -> Response:
        """``GET /account``, free."""
        self._account.admit(request)
        return JSONResponse({"data": self._account.as_json(), "meta": {}})

    def _payer(self, request: Request, group: str) -> HunterAccount | None:
        if self._account.tries_out(request):
            return None
        self._account.admit(request, group)
        return self._account

    def _searching(self, search: _Search, group: str) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            return JSONResponse(search(request.query_params, self._payer(request, group)))

        return answer

    def _finding(self, find: _Find) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            self._account.admit(request, "enrichment")
            return JSONResponse(find(request.query_params))

        return answer
