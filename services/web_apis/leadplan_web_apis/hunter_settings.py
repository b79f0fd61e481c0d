"""Where Hunter.io is, and with which key: the same two variables for every tool that calls it."""

from typing import Annotated, ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from leadplan_web_apis.settings import WebApiSettings


class HunterSettings(WebApiSettings):
    """Key and base address of Hunter, from ``HUNTER_API_KEY`` and ``HUNTER_BASE_URL``."""

    model_config = SettingsConfigDict(env_prefix="HUNTER_")
    wanted_key: ClassVar[str] = "an API key of hunter.io"

    base_url: Annotated[str, Field(description="Where the API is, with its version.")] = "https://api.hunter.io/v2"


KEY_VARIABLE = HunterSettings.variable("api_key")
BASE_URL_VARIABLE = HunterSettings.variable("base_url")
