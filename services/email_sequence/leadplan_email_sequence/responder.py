"""What ``leadplan tool EMAIL_SEQUENCE_SETUP`` serves."""

from leadplan_email_sequence.api import SequencesApi
from leadplan_email_sequence.models import SavedLeads, SequenceParams, SequenceResult
from leadplan_email_sequence.selection import select_recipients
from leadplan_email_sequence.setup import set_up_sequence
from leadplan_responder import Responder, ToolContext
from leadplan_web_apis.hunter_settings import HunterSettings
from leadplan_web_apis.settings import load_settings


def responder() -> Responder:
    """Make the responder.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """
    api = SequencesApi(load_settings(HunterSettings))
    sequences = Responder(
        "email-sequence", version="0.1.0", description="Puts leads into e-mail sequences", on_stop=[api.aclose]
    )

    # Repeating adds nobody twice (Hunter skips those that are in) and starts nothing twice.
    @sequences.tool("EMAIL_SEQUENCE_SETUP", effects="idempotent", max_in_flight=8)
    async def set_up(params: SequenceParams, ctx: ToolContext) -> SequenceResult:
        """Add saved leads to a Hunter e-mail sequence, and start it if wanted."""
        saved = await ctx.prior_data(params.source_step_id, SavedLeads)
        selection = select_recipients(saved.leads, params)
        result = await set_up_sequence(api, params, selection, ctx.progress)
        ctx.log.info(
            "sequence %d: %d leads added, %d already in, %d left out, started: %s",
            result.sequence_id, result.recipients_added, result.already_in, len(result.left_out), result.started,
        )  # fmt: skip
        return result

    return sequences
