"""What the two tools read from the environment."""

from typing import Annotated

from pydantic import Field

from leadplan_web_apis.hunter_settings import HunterSettings


class LookupSettings(HunterSettings):
    """Key and base address, how fast calls may come, and how patient verifications are, each from ``HUNTER_<NAME>``."""

    rate_share: Annotated[
        float,
        Field(gt=0, le=1, description="This process's part of Hunter's rate limits, where several use one account."),
    ] = 1.0
    verifier_poll_seconds: Annotated[float, Field(gt=0, description="Between two looks at a running verification.")] = (
        3.0
    )
    verifier_wait_seconds: Annotated[
        float, Field(ge=0, description="After so long a verification that still runs counts as unknown.")
    ] = 60.0
    finder_seconds: Annotated[
        int, Field(ge=3, le=20, description="How long Hunter may look for a person's address.")
    ] = 10
