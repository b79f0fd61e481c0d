"""The responder that serves HUNTER_ENRICH."""

from leadplan_hunter.api import HunterApi
from leadplan_hunter.enrich_models import EnrichParams, EnrichResult, SourceDomains
from leadplan_hunter.enrichment import Enrichment, drafts_from_domains, drafts_from_emails
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
        "hunter-enrich",
        version="0.1.0",
        description="Verifies contacts and adds person and company facts, with Hunter.",
        on_stop=[api.aclose],
    )

    limits = [api.limits["email-verifier"], api.limits["people/find"]]

    @responder.tool("HUNTER_ENRICH", effects="none", max_in_flight=8, limits=limits)
    async def enrich_contacts(params: EnrichParams, ctx: ToolContext) -> EnrichResult:
        """Make leads of the contacts of an earlier domain lookup, or of given addresses."""
        if params.source_step_id is not None:
            source = await ctx.prior_data(params.source_step_id, SourceDomains)
            drafts = drafts_from_domains(source.domains)
        else:
            drafts = drafts_from_emails(params.emails or [])
        result = await Enrichment(api, params, ctx.progress, ctx.seconds_left).run(drafts)
        ctx.log.info("enrichment done", extra={"leads": len(result.leads), "dropped": len(result.dropped)})
        return result

    return responder
