"""What may stand as a plan's id in a subject."""

import msgspec

from leadplan_client.errors import InvalidPlanIdError
from leadplan_contracts.wire import PlanId


def checked_plan_id(plan_id: str) -> str:
    """The id, if it is one; a text such as ``*`` would otherwise become a subject with a wildcard.

    Raises:
        InvalidPlanIdError: it isn't.
    """
    try:
        return str(msgspec.convert(plan_id, PlanId))
    except msgspec.ValidationError:
        raise InvalidPlanIdError(plan_id) from None
