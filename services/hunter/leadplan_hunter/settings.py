"""What the two tools read from the environment."""

from typing import Annotated

from pydantic import Field

from leadplan_web_apis.hunter_settings import HunterSettings


class LookupSettings(HunterSettings):
    """Key and base address, and how patient verifications are, each from ``HUNTER_<NAME>``."""

    verifier_poll_seconds: Annotated[float, Field(gt=0, description="Between two looks at a running verification.")] = (
        3.0
    )
    verifier_wait_seconds: Annotated[
        float, Field(ge=0, description="After so long a verification that still runs counts as unknown.")
    ] = 60.0
