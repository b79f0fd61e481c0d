"""To whom lists, suppressions and outreach belong."""

from leadplan_contracts import SupervisorUserContext


def account_of(user: SupervisorUserContext) -> str:
    """The user's account, or the user where there is none: what keeps the leads of one customer from another's."""
    return user.account_id or user.user_id
