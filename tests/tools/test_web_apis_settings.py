"""Key and base address of any API: read from the environment, checked, and never shown."""

from typing import ClassVar

import pytest
from pydantic_settings import SettingsConfigDict

from leadplan_responder import ConfigurationError
from leadplan_web_apis.hunter_settings import BASE_URL_VARIABLE, KEY_VARIABLE
from leadplan_web_apis.settings import WebApiSettings, load_settings

KEY = "a-key-that-nobody-may-see"


class MapSettings(WebApiSettings):
    model_config = SettingsConfigDict(env_prefix="MAP_")
    wanted_key: ClassVar[str] = "a key of the map"
    base_url: str = "https://map.example"
    pages: int = 3


@pytest.fixture(autouse=True)
def _only_a_key(monkeypatch):
    for variable in ("MAP_BASE_URL", "MAP_PAGES"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("MAP_API_KEY", KEY)


def test_a_key_is_enough():
    settings = load_settings(MapSettings)
    assert settings.api_key.get_secret_value() == KEY
    assert (settings.base_url, settings.pages) == ("https://map.example", 3)


def test_a_subclass_reads_its_own_fields_and_an_empty_variable_is_none(monkeypatch):
    monkeypatch.setenv("MAP_BASE_URL", "")
    monkeypatch.setenv("MAP_PAGES", "5")
    settings = load_settings(MapSettings)
    assert (settings.base_url, settings.pages) == ("https://map.example", 5)


def test_spaces_around_the_key_and_a_slash_after_the_address_do_no_harm(monkeypatch):
    monkeypatch.setenv("MAP_API_KEY", f" {KEY}\n")
    monkeypatch.setenv("MAP_BASE_URL", "http://127.0.0.1:80/v2/")
    settings = load_settings(MapSettings)
    assert settings.api_key.get_secret_value() == KEY
    assert settings.base_url == "http://127.0.0.1/v2"


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_key_is_one_error_that_names_variable_and_key(monkeypatch, value):
    monkeypatch.delenv("MAP_API_KEY")
    if value is not None:
        monkeypatch.setenv("MAP_API_KEY", value)
    with pytest.raises(ConfigurationError, match=r"^MAP_API_KEY is not set: give it a key of the map$"):
        load_settings(MapSettings)


@pytest.mark.parametrize("key", ["se cret", "se\ncret", "s\u00e9cret"])
@pytest.mark.parametrize("address", ["ftp://hidden.example", "hidden.example", "http://"])
def test_unusable_settings_are_all_named_without_their_values(monkeypatch, key, address):
    monkeypatch.setenv("MAP_API_KEY", key)
    monkeypatch.setenv("MAP_BASE_URL", address)
    monkeypatch.setenv("MAP_PAGES", "hidden")

    with pytest.raises(ConfigurationError) as raised:
        load_settings(MapSettings)

    message = str(raised.value)
    assert "MAP_API_KEY holds characters that no API key has" in message
    assert "MAP_BASE_URL is no http or https address" in message
    assert "MAP_PAGES" in message
    assert "cret" not in message
    assert "hidden" not in message
    # Nothing that a logged traceback would add either.
    assert raised.value.__cause__ is raised.value.__context__ is None


def test_the_key_does_not_stand_in_the_repr_of_the_settings():
    settings = load_settings(MapSettings)
    assert KEY not in f"{settings!r} {settings}"


def test_the_variables_of_hunter_have_their_documented_names():
    assert (KEY_VARIABLE, BASE_URL_VARIABLE) == ("HUNTER_API_KEY", "HUNTER_BASE_URL")
