"""The search: page after page until there are enough places."""

from typing import Annotated, Any

from pydantic import Field

from leadplan_google_places.api import PlacesApi
from leadplan_google_places.api_answers import SearchPage
from leadplan_google_places.details import BillingTier
from leadplan_google_places.errors import InvalidArgumentError
from leadplan_google_places.places import Place, ResultModel, place_from
from leadplan_google_places.search_params import MAX_RESULTS, SearchParams
from leadplan_responder import ToolContext, ToolError

# FUTURE_OPENING isn't among them: who is about to open buys more than others. One that moved is CLOSED_PERMANENTLY
# where it was; Google finds the new place under an id of its own.
_CLOSED = frozenset({"CLOSED_TEMPORARILY", "CLOSED_PERMANENTLY"})
# A page may carry fewer places than asked for and still name a next one. Twice the three full pages is patience enough.
_MAX_PAGES = 6
# What the call itself may take: a turn that comes later than that would bring a page that is paid for and lost.
_CALL_SECONDS = 10.0
_CHECKPOINT_ITEM = "pages"


class SearchResult(ResultModel):
    """What GOOGLE_PLACES_SEARCH returns."""

    query: str
    places: Annotated[list[Place], Field(description="Each once, in Google's order.")]
    pages_fetched: Annotated[int, Field(description="Each page is one billed request.")]
    closed_left_out: Annotated[
        int, Field(description="Places left out because they closed for a time or for good, or moved away.")
    ]
    billing_tier: Annotated[BillingTier, Field(description="What Google bills each page as.")]
    incomplete: (
        Annotated[str, Field(description="Why places may be missing, where a later page couldn't be had.")] | None
    ) = None


class PagesSoFar(ResultModel):
    """The pages fetched so far, read in order, and the token of the next one. It is what a checkpoint keeps."""

    places: list[Place] = Field(default_factory=list)
    seen: list[str] = Field(default_factory=list)
    closed_left_out: int = 0
    pages: int = 0
    pages_of_abandoned_searches: int = 0
    next_page_token: str | None = None

    def add(self, page: SearchPage, params: SearchParams) -> None:
        """Take a page in: each place once, and none that closed unless those are wanted."""
        self.pages += 1
        self.next_page_token = page.next_page_token
        for answer in page.places:
            if answer.id in self.seen:
                continue
            self.seen.append(answer.id)
            if answer.business_status in _CLOSED and not params.include_closed:
                self.closed_left_out += 1
            elif len(self.places) < params.max_results:
                self.places.append(place_from(answer))

    def is_complete(self, params: SearchParams) -> bool:
        """Whether there are enough places, or no more to be had."""
        if not self.pages:
            return False
        enough = len(self.places) >= params.max_results or len(self.seen) >= MAX_RESULTS
        return enough or self.pages >= _MAX_PAGES or not self.next_page_token

    @property
    def pages_billed(self) -> int:
        """All pages that Google has answered with for this step."""
        return self.pages + self.pages_of_abandoned_searches


async def search_places(api: PlacesApi, params: SearchParams, ctx: ToolContext) -> SearchResult:
    """Collect up to ``params.max_results`` places, each once, in Google's order.

    Pages that an earlier attempt fetched aren't fetched again.

    Raises:
        ToolError: the first page could not be had, or a later one that another attempt can bring.
    """
    return await _Search(api, params, ctx).run()


class _Search:
    def __init__(self, api: PlacesApi, params: SearchParams, ctx: ToolContext) -> None:
        self._api = api
        self._params = params
        self._ctx = ctx
        self._fields = params.requested_fields()
        self._body = params.request_body()

    async def run(self) -> SearchResult:
        kept = (await self._ctx.checkpoint.load(PagesSoFar)).get(_CHECKPOINT_ITEM)
        so_far = kept or PagesSoFar()
        incomplete: str | None = None
        try:
            if kept is not None and not so_far.is_complete(self._params):
                so_far = await self._resume(kept)
            while not so_far.is_complete(self._params):
                await self._take_next(so_far)
        except ToolError as error:
            if error.retryable or not so_far.pages:
                raise
            # What is there was paid for, and another attempt would bring no more.
            incomplete = f"Page {so_far.pages + 1} couldn't be had, so places may be missing. {error.message}"
            await self._ctx.progress(1.0, f"{len(so_far.places)} places; page {so_far.pages + 1} couldn't be had")
        return SearchResult(
            query=self._params.query,
            places=so_far.places,
            pages_fetched=so_far.pages_billed,
            closed_left_out=so_far.closed_left_out,
            billing_tier=self._fields.billing_tier,
            incomplete=incomplete,
        )

    async def _resume(self, kept: PagesSoFar) -> PagesSoFar:
        """Go on behind the pages of an earlier attempt, or begin anew where Google has forgotten their token.

        How long a token lives isn't documented. Beginning anew isn't the failed call again, which only the executor
        may repeat: the first page is another request, and the one that takes a token of today.
        """
        await self._report(kept, "kept from an earlier attempt")
        try:
            await self._take_next(kept)
        except InvalidArgumentError:
            self._ctx.log.info("Google refuses the page token of an earlier attempt: the search begins anew")
            anew = PagesSoFar(pages_of_abandoned_searches=kept.pages_billed)
            await self._take_next(anew)
            return anew
        return kept

    async def _take_next(self, so_far: PagesSoFar) -> None:
        # Google refuses a page whose request differs from the first one in anything but the token.
        token: dict[str, Any] = {"pageToken": so_far.next_page_token} if so_far.pages else {}
        patience = max(0.0, self._ctx.seconds_left() - _CALL_SECONDS)
        page = await self._api.search_page({**self._body, **token}, self._fields.mask, patience=patience)
        so_far.add(page, self._params)
        await self._ctx.checkpoint.keep(_CHECKPOINT_ITEM, so_far)
        await self._report(so_far)

    async def _report(self, so_far: PagesSoFar, note: str = "") -> None:
        wanted = self._params.max_results
        fraction = 1.0 if so_far.is_complete(self._params) else len(so_far.places) / wanted
        page = f"page {so_far.pages}{f' ({note})' if note else ''}"
        await self._ctx.progress(fraction, f"{page}: {len(so_far.places)} of up to {wanted} places")
