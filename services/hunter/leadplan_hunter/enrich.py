"""The responder that serves HUNTER_ENRICH."""

from leadplan_hunter.api import HunterApi
from leadplan_hunter.enrich_models import EnrichParams, EnrichResult
from leadplan_hunter.enrich_source import SourceDomain, SourceDomains
from leadplan_hunter.enrichment import Enrichment
from leadplan_hunter.inquiry import Inquiry
from leadplan_hunter.settings import LookupSettings
from leadplan_hunter.step_work import StepWork
from leadplan_responder import Responder, ToolContext
from leadplan_web_apis.settings import load_settings

_ENDPOINTS = ("email-finder", "email-verifier", "people/find", "companies/find")


def responder() -> Responder:
    """Build the responder from the environment.

    Raises:
        ConfigurationError: HUNTER_API_KEY is missing, or a variable has an unusable value.
    """
    api = HunterApi(load_settings(LookupSettings))
    responder = Responder(
        "hunter-enrich",
        version="0.1.0",
        description="Finds and verifies addresses of people, and adds person and company facts, with Hunter.",
        on_stop=[api.aclose],
    )
    # People and companies share a limit.
    limits = list(dict.fromkeys(api.limits[endpoint] for endpoint in _ENDPOINTS))

    @responder.tool("HUNTER_ENRICH", effects="none", max_in_flight=8, limits=limits)
    async def enrich_contacts(params: EnrichParams, ctx: ToolContext) -> EnrichResult:
        """Make leads of the contacts of an earlier domain lookup, of given addresses, or of people by their names."""
        domains: list[SourceDomain] = []
        if params.source_step_id is not None:
            domains = (await ctx.prior_data(params.source_step_id, SourceDomains)).domains
        work = StepWork(api.limits, ctx.progress, ctx.seconds_left)
        result = await Enrichment(api, params, work, Inquiry(ctx.checkpoint)).run(domains)
        counts = {"leads": len(result.leads), "dropped": len(result.dropped), "objected": len(result.objected)}
        ctx.log.info("enrichment done", extra=counts)
        return result

    return responder
