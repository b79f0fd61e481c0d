"""All checks, in the order in which they run.

Each really runs the tool: about forty requests in all, each with an idempotency key of its own.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from leadplan_cli.conformance import announcement_checks, behaviour_checks, request_checks
from leadplan_cli.conformance.probe import NobodyListensError, Probe
from leadplan_cli.conformance.results import CheckResult, Finding, Outcome, not_checked

__all__ = ["CHECKS", "Check", "CheckResult", "NobodyListensError", "Outcome", "Probe", "run_checks"]


class Check(NamedTuple):
    """A check and its name.

    ``needs_answers`` is false where it makes sense for a responder that didn't answer the first valid request.
    """

    name: str
    run: Callable[[Probe], Awaitable[Finding]]
    needs_answers: bool = True


CHECKS: Sequence[Check] = (
    Check("valid request", request_checks.answers_a_valid_request, needs_answers=False),
    Check("announcement", announcement_checks.announces_itself, needs_answers=False),
    Check("announced schema", announcement_checks.announces_a_valid_schema, needs_answers=False),
    Check("announced effects", announcement_checks.announces_its_effects, needs_answers=False),
    Check("unknown fields", request_checks.ignores_unknown_fields),
    Check("error", request_checks.reports_an_error),
    Check("wrong params", request_checks.refuses_params_that_do_not_fit),
    Check("no request", request_checks.survives_what_is_no_request),
    Check("repeated key", behaviour_checks.answers_a_repeated_key),
    Check("stray cancel", behaviour_checks.survives_stray_cancel_notices),
    Check("cancel", behaviour_checks.ends_a_cancelled_request),
    Check("deadline", behaviour_checks.survives_a_passed_deadline),
    Check("queue group", behaviour_checks.uses_the_queue_group),
    Check("many at once", behaviour_checks.answers_many_at_once),
    Check("figures", announcement_checks.counts_its_requests),
    # These two look at all that came back.
    Check("signs of life", behaviour_checks.gives_valid_signs_of_life, needs_answers=False),
    Check("one reply", behaviour_checks.replies_once),
)


async def run_checks(
    probe: Probe,
    on_result: Callable[[CheckResult], None] = lambda result: None,
    checks: Sequence[Check] = CHECKS,
) -> list[CheckResult]:
    """Run the checks against a responder.

    Args:
        probe: the responder, not started yet.
        on_result: called after each check.
        checks: which ones.

    Raises:
        NobodyListensError: there is no responder.
    """
    results = []
    await probe.start()
    try:
        for check in checks:
            if check.needs_answers and probe.first_answer.reply is None:
                finding = not_checked("the first valid request got no valid reply")
            else:
                finding = await check.run(probe)
            result = CheckResult(check.name, finding.outcome, finding.message, finding.advice)
            on_result(result)
            results.append(result)
    finally:
        await probe.stop()
    return results
