"""What ``leadplan tool LEAD_LIST_SAVE`` serves."""

import asyncio

from pydantic import ValidationError
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from leadplan_lead_list.models import EnrichmentData, SaveParams, SaveResult
from leadplan_lead_list.store import LeadStore
from leadplan_leads.database import DatabaseUnavailableError, open_database
from leadplan_leads.settings import LeadListSettings
from leadplan_responder import ConfigurationError, Responder, ToolContext, ToolError

_BUSY_RETRY_SECONDS = 2.0


def responder() -> Responder:
    """Make the responder; opens the database and applies its migrations.

    Raises:
        ConfigurationError: a setting is wrong, or the database can't be used.
    """
    store = LeadStore(_open_configured_database())

    async def close_store() -> None:
        store.close()

    lead_list = Responder("lead-list", version="0.1.0", description="Keeps leads in lists", on_stop=[close_store])

    # A few at once only: on SQLite saves wait for one another anyway.
    @lead_list.tool("LEAD_LIST_SAVE", effects="idempotent", max_in_flight=8)
    async def save_leads(params: SaveParams, ctx: ToolContext) -> SaveResult:
        """Put the leads of an enrichment into a list: each e-mail address once, known leads updated."""
        enrichment = await ctx.prior_data(params.source_step_id, EnrichmentData)
        try:
            result = await asyncio.to_thread(
                store.save,
                account=ctx.user.account_id or ctx.user.user_id,
                list_name=params.list_name,
                leads=enrichment.leads,
                saved_by=ctx.idempotency_key,
            )
        except OperationalError as error:
            # Locked, unreachable, full: all may pass. The text names no lead (the engine hides parameters).
            ctx.log.warning("the lead database refused a save", exc_info=error)
            message = f"the leads weren't saved, the database said: {error.orig}"
            raise ToolError(message, code="database_unavailable", retry_after=_BUSY_RETRY_SECONDS) from None
        ctx.log.info("saved %d new and %d known leads", result.leads_new, result.leads_updated)
        return result

    return lead_list


def _open_configured_database() -> Engine:
    try:
        settings = LeadListSettings()
    except ValidationError as error:
        wrong = [f"LEADPLAN_{str(problem['loc'][0]).upper()}: {problem['msg']}" for problem in error.errors()]
        raise ConfigurationError("; ".join(wrong)) from None
    try:
        return open_database(
            settings.leads_database_url.get_secret_value(), lock_timeout_seconds=settings.leads_lock_timeout_seconds
        )
    except DatabaseUnavailableError as error:
        raise ConfigurationError(f"LEADPLAN_LEADS_DATABASE_URL: {error}") from error
