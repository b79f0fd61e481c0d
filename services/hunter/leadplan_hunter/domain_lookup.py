"""The responder that serves HUNTER_DOMAIN_LOOKUP."""

from leadplan_hunter.api import HunterApi
from leadplan_hunter.lookup import DomainLookup
from leadplan_hunter.lookup_models import DomainLookupParams, DomainLookupResult, SourcePlace, SourcePlaces
from leadplan_hunter.settings import LookupSettings
from leadplan_responder import Responder, ToolContext
from leadplan_web_apis.settings import load_settings


def responder() -> Responder:
    """Build the responder from the environment.

    Raises:
        ConfigurationError: HUNTER_API_KEY is missing, or a variable has an unusable value.
    """
    api = HunterApi(load_settings(LookupSettings))
    responder = Responder(
        "hunter-domain-lookup",
        version="0.1.0",
        description="Finds the people of companies by their domains, with Hunter.",
        on_stop=[api.aclose],
    )

    @responder.tool("HUNTER_DOMAIN_LOOKUP", effects="none", max_in_flight=8, limits=[api.limits["domain-search"]])
    async def look_up_domains(params: DomainLookupParams, ctx: ToolContext) -> DomainLookupResult:
        """Find contacts for the websites of an earlier step's places, or for given domains."""
        if params.source_step_id is not None:
            places = (await ctx.prior_data(params.source_step_id, SourcePlaces)).places
        else:
            places = [SourcePlace(website=domain) for domain in params.domains or []]
        lookup = DomainLookup(api, params, ctx.checkpoint, ctx.progress)
        result = await lookup.run(places, ctx.seconds_left())
        ctx.log.info("lookup done", extra={"contacts": result.contacts_found, "credits": result.credits_used})
        return result

    return responder
