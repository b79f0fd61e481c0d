"""What the tool reads from the environment."""

from typing import Annotated, ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from leadplan_web_apis.settings import WebApiSettings


class GooglePlacesSettings(WebApiSettings):
    """Key and base address, from ``GOOGLE_PLACES_API_KEY`` and ``GOOGLE_PLACES_BASE_URL``."""

    model_config = SettingsConfigDict(env_prefix="GOOGLE_PLACES_")
    wanted_key: ClassVar[str] = "a Google API key for Places API (New)"

    base_url: Annotated[str, Field(description="Where the API is.")] = "https://places.googleapis.com"


KEY_VARIABLE = GooglePlacesSettings.variable("api_key")
BASE_URL_VARIABLE = GooglePlacesSettings.variable("base_url")
