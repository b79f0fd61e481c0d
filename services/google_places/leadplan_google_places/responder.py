"""The responder that serves GOOGLE_PLACES_SEARCH."""

from leadplan_google_places.api import PlacesApi
from leadplan_google_places.search import SearchResult, search_places
from leadplan_google_places.search_params import SearchParams
from leadplan_google_places.settings import GooglePlacesSettings
from leadplan_responder import Responder, ToolContext
from leadplan_web_apis.settings import load_settings


def responder() -> Responder:
    """Build the responder from the environment.

    Raises:
        ConfigurationError: GOOGLE_PLACES_API_KEY is missing, or a variable has an unusable value.
    """
    api = PlacesApi(load_settings(GooglePlacesSettings))
    responder = Responder(
        "google-places", version="0.1.0", description="Finds businesses with Google Places.", on_stop=[api.aclose]
    )

    @responder.tool("GOOGLE_PLACES_SEARCH", effects="none", max_in_flight=8, limits=[api.limit])
    async def search(params: SearchParams, ctx: ToolContext) -> SearchResult:
        """Find businesses by a text query, such as `dentists in Leeds`."""
        result = await search_places(api, params, ctx)
        counts = {
            "places": len(result.places),
            "pages": result.pages_fetched,
            "billing_tier": result.billing_tier.value,
        }
        ctx.log.info("search done" if result.incomplete is None else "search done in part", extra=counts)
        return result

    return responder
