"""Submissions as people have them in files: valid, or every problem told."""

from leadplan_cli.errors import BAD_USE, CommandError
from leadplan_cli.plan_lines import problem_lines
from leadplan_contracts import PlanRejectedError
from leadplan_contracts.validation import ReadSubmission, read_plan_submission


def checked_submission(body: bytes, consequence: str = "") -> ReadSubmission:
    """The submission that a text holds.

    Args:
        body: JSON as `leadplan plan` prints it.
        consequence: stands in the message, such as ", and nothing was sent".

    Raises:
        CommandError: it holds none; every problem is listed.
    """
    try:
        return read_plan_submission(body)
    except PlanRejectedError as error:
        first = f"this is no valid submission ({{plan, user}} as `leadplan plan` prints it){consequence}:"
        raise CommandError("\n".join([first, *problem_lines(error.problems)]), exit_code=BAD_USE) from error
