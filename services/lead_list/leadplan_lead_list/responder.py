"""What ``leadplan tool LEAD_LIST_SAVE`` serves."""

import asyncio
from typing import Any

from sqlalchemy import Engine

from leadplan_lead_list.models import EnrichedLead, EnrichmentData, LeftOutLead, SavedLead, SaveParams, SaveResult
from leadplan_leads import saving
from leadplan_leads.accounts import account_of
from leadplan_leads.settings import open_configured_database
from leadplan_leads.tool_errors import database_failures_reported
from leadplan_responder import Responder, ToolContext


def responder() -> Responder:
    """Make the responder; opens the database and applies its migrations.

    Raises:
        ConfigurationError: a setting is wrong, or the database can't be used.
    """
    engine = open_configured_database()

    async def close_database() -> None:
        engine.dispose()

    lead_list = Responder("lead-list", version="0.1.0", description="Keeps leads in lists", on_stop=[close_database])

    # A few at once only: saves of one account wait for one another anyway, on SQLite all do.
    @lead_list.tool("LEAD_LIST_SAVE", effects="idempotent", max_in_flight=8)
    async def save_leads(params: SaveParams, ctx: ToolContext) -> SaveResult:
        """Put the leads of an enrichment into a list: each e-mail address once, known leads updated."""
        enrichment = await ctx.prior_data(params.source_step_id, EnrichmentData)
        account = account_of(ctx.user)
        with database_failures_reported("the leads weren't saved"):
            result = await asyncio.to_thread(_save, engine, account, params, enrichment, ctx.idempotency_key)
        ctx.log.info(
            "saved %d new and %d known leads; %d people objected",
            result.leads_new, result.leads_updated, result.objected_left_out,
        )  # fmt: skip
        return result

    return lead_list


def _save(engine: Engine, account: str, params: SaveParams, enrichment: EnrichmentData, saved_by: str) -> SaveResult:
    saved = saving.save_leads(
        engine,
        account=account,
        list_name=params.list_name,
        leads=map(_lead, enrichment.leads),
        saved_by=saved_by,
        objected=enrichment.objected,
    )
    new = sum(lead.is_new for lead in saved.leads)
    return SaveResult(
        list_id=saved.list_id,
        list_name=params.list_name,
        leads_new=new,
        leads_updated=len(saved.leads) - new,
        leads=[_saved_lead(lead) for lead in saved.leads],
        left_out=[LeftOutLead(email=address, reason="invalid_address") for address in saved.unusable],
        objected_left_out=saved.objected,
    )


def _lead(enriched: EnrichedLead) -> saving.Lead:
    company = enriched.company.model_dump(exclude_none=True) if enriched.company else {}
    of_company: dict[str, Any] = {f"company_{name}": str(value) for name, value in company.items()}
    return saving.Lead(**enriched.model_dump(exclude={"company"}), **of_company)


def _saved_lead(saved: saving.SavedLead) -> SavedLead:
    return SavedLead(
        lead_id=saved.id,
        email=saved.email,
        first_name=saved.first_name,
        last_name=saved.last_name,
        company=saved.company_name or saved.company_domain,
        position=saved.position,
        verification_status=saved.verification_status,
        is_new=saved.is_new,
        suppressed=saved.suppressed,
    )
