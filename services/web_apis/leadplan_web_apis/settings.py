"""Key and base address of an API, as a tool reads them from the environment."""

from typing import Annotated, ClassVar, TypeVar

from pydantic import AnyHttpUrl, Field, SecretStr, TypeAdapter, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from leadplan_responder import ConfigurationError

SettingsT = TypeVar("SettingsT", bound="WebApiSettings")


class WebApiSettings(BaseSettings):
    """Base of the settings for one API, each read from ``<prefix><NAME>``; an empty variable counts as not set.

    A subclass sets ``env_prefix`` in its ``model_config``, `wanted_key`, and the default of ``base_url``.
    """

    # The input stays out of validation errors: it may be the key.
    model_config = SettingsConfigDict(env_ignore_empty=True, validate_default=True, hide_input_in_errors=True)

    wanted_key: ClassVar[str]
    """Which key is needed, as it follows "give it", such as "an API key of hunter.io"."""

    api_key: Annotated[SecretStr, Field(description="The API's key.")] = SecretStr("")
    base_url: Annotated[str, Field(description="Where the API is.")] = ""

    @classmethod
    def variable(cls, field: str) -> str:
        """Name of the environment variable that a field is read from."""
        return f"{cls.model_config.get('env_prefix', '')}{field}".upper()

    @field_validator("api_key")
    @classmethod
    def _key_fits_a_header(cls, key: SecretStr) -> SecretStr:
        text = key.get_secret_value().strip()
        if not text:
            raise ValueError(f"is not set: give it {cls.wanted_key}")
        if not (text.isascii() and text.isprintable()) or " " in text:
            raise ValueError("holds characters that no API key has")
        return SecretStr(text)

    @field_validator("base_url")
    @classmethod
    def _base_url_is_http(cls, url: str) -> str:
        try:
            return str(TypeAdapter(AnyHttpUrl).validate_python(url)).rstrip("/")
        except ValidationError:
            raise ValueError("is no http or https address") from None


def load_settings(settings: type[SettingsT]) -> SettingsT:
    """Read settings from the environment.

    Raises:
        ConfigurationError: a variable is missing or wrong; the message names each of them and no value.
    """
    try:
        return settings()
    except ValidationError as error:
        problems = [
            f"{settings.variable(str(problem['loc'][0]))} {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors(include_url=False, include_context=False, include_input=False)
        ]
    raise ConfigurationError("; ".join(problems))
