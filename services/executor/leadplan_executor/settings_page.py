"""The executor's settings as a Markdown table, for docs/settings.md."""

from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from leadplan_executor.settings import ExecutorSettings


def settings_table() -> str:
    """Every setting: its variable, default, limits and meaning."""
    schema = ExecutorSettings.model_json_schema(by_alias=True)["properties"]
    rows = [["variable", "default", "allowed", "meaning"], ["---"] * 4]
    for name, field in ExecutorSettings.model_fields.items():
        limits = schema[str(field.validation_alias or name)]
        rows.append([f"`{variable(name)}`", _default(field), _allowed(limits), field.description or ""])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def variable(field_name: str) -> str:
    """The environment variable that a field of ``ExecutorSettings`` is read from."""
    alias = ExecutorSettings.model_fields[field_name].validation_alias
    if isinstance(alias, str):
        return alias
    return f"{ExecutorSettings.model_config.get('env_prefix', '')}{field_name}".upper()


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return ""  # differs from machine to machine: the description says what it is
    value: Any = field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"`{value}`"


def _allowed(limits: Mapping[str, Any]) -> str:
    low, high = limits.get("minimum"), limits.get("maximum")
    if low is not None:
        return f"{low} or more" if high is None else f"{low} to {high}"
    pattern: str = limits.get("pattern", "")
    return f"`{pattern.strip('^$')}`".replace("|", "\\|") if pattern else ""
