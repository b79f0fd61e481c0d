"""What ``leadplan tool EMAIL_SEQUENCE_SETUP`` serves."""

import asyncio

from leadplan_email_sequence.api import SequencesApi
from leadplan_email_sequence.models import SavedLeads, SequenceParams, SequenceResult
from leadplan_email_sequence.setup import SequenceSetup
from leadplan_email_sequence.step_ledger import StepLedger
from leadplan_leads.accounts import account_of
from leadplan_leads.outreach import Claimant
from leadplan_leads.settings import open_configured_database
from leadplan_responder import NOT_DONE, Responder, ToolContext
from leadplan_web_apis.hunter_settings import HunterSettings
from leadplan_web_apis.settings import load_settings


def responder() -> Responder:
    """Make the responder; opens the lead database and applies its migrations.

    Raises:
        ConfigurationError: a setting is missing or wrong, or the database can't be used.
    """
    settings = load_settings(HunterSettings)
    engine = open_configured_database()
    api = SequencesApi(settings)

    async def close_database() -> None:
        await asyncio.to_thread(engine.dispose)

    sequences = Responder(
        "email-sequence",
        version="0.1.0",
        description="Puts leads into e-mail sequences",
        on_stop=[api.aclose, close_database],
    )

    async def step(params: SequenceParams, ctx: ToolContext) -> SequenceSetup:
        saved = await ctx.prior_data(params.source_step_id, SavedLeads)
        claimant = Claimant(account_of(ctx.user), params.sequence_id, ctx.idempotency_key)
        return SequenceSetup(api, StepLedger(engine, claimant), params, saved.leads, ctx.idempotency_key, ctx.progress)

    async def look_up(params: SequenceParams, ctx: ToolContext) -> object:
        """What an attempt that broke off has done, by the ledger and by Hunter."""
        result = await (await step(params, ctx)).resolve()
        return NOT_DONE if result is None else _told(result, ctx)

    @sequences.tool("EMAIL_SEQUENCE_SETUP", effects="once", in_doubt=look_up, max_in_flight=8, limits=[api.limit])
    async def set_up(params: SequenceParams, ctx: ToolContext) -> SequenceResult:
        """Add saved leads to a Hunter e-mail sequence, and start it if wanted."""
        return _told(await (await step(params, ctx)).run(), ctx)

    return sequences


def _told(result: SequenceResult, ctx: ToolContext) -> SequenceResult:
    left_out = len(result.left_out) + result.objected_left_out
    ctx.log.info(
        "sequence %d: %d leads added, %d left out, started: %s",
        result.sequence_id, result.recipients_added, left_out, result.started,
    )  # fmt: skip
    return result
