"""What the tool reads from the environment."""

from typing import Annotated, ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from leadplan_web_apis.settings import WebApiSettings


class GooglePlacesSettings(WebApiSettings):
    """Key, base address and quota, each from ``GOOGLE_PLACES_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="GOOGLE_PLACES_")
    wanted_key: ClassVar[str] = "a Google API key for Places API (New)"

    base_url: Annotated[str, Field(description="Where the API is.")] = "https://places.googleapis.com"
    # Google documents no number; 600 is what the console shows for projects that have changed nothing.
    per_minute: Annotated[int, Field(ge=1, description="Searches that the key's project may make a minute.")] = 600


KEY_VARIABLE = GooglePlacesSettings.variable("api_key")
BASE_URL_VARIABLE = GooglePlacesSettings.variable("base_url")
PER_MINUTE_VARIABLE = GooglePlacesSettings.variable("per_minute")
