"""The two tables of a tool's page, from what its responder announces."""

import asyncio
import contextlib
import os
import tempfile
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from leadplan_cli.installed_tools import load_tool
from leadplan_cli.tool_pages.schema_rows import Row, rows_of
from leadplan_responder.payloads import json_schema
from leadplan_responder.responder import Hook, Tool

_KEYS = ("GOOGLE_PLACES_API_KEY", "HUNTER_API_KEY")
_DATABASE = "LEADPLAN_LEADS_DATABASE_URL"


def tool_of(name: str) -> Tool:
    """The tool as its responder declares it, which is made for this and closed again.

    Keys that aren't in the environment are made up: they play no part in the tables. The lead database is one that is
    thrown away.

    Raises:
        CommandError: no installed package brings this tool.
        ConfigurationError: its responder can't be made from the environment.
    """
    factory = load_tool(name)
    with tempfile.TemporaryDirectory(prefix="leadplan-tool-pages-") as folder, _environment(folder):
        responder = factory()
        loop = asyncio.new_event_loop()
        try:
            for stop in responder.on_stop:
                loop.run_until_complete(_awaited(stop))
        finally:
            loop.close()
    return responder.tools[name]


@contextlib.contextmanager
def _environment(folder: str) -> Iterator[None]:
    """What our responders need, for the length of a block."""
    before = {variable: os.environ.get(variable) for variable in (*_KEYS, _DATABASE)}
    made_up = {variable: before[variable] or "made-up" for variable in _KEYS}
    os.environ.update(made_up, **{_DATABASE: f"sqlite:///{folder}/leads.db"})
    try:
        yield
    finally:
        for variable, value in before.items():
            if value is None:
                del os.environ[variable]
            else:
                os.environ[variable] = value


async def _awaited(stop: Hook) -> None:
    await stop()


def result_model(tool: Tool) -> Any:
    """The type that the tool's handler says it returns.

    Raises:
        TypeError: its handler says nothing, or that it returns nothing.
    """
    model = typing.get_type_hints(tool.handler).get("return")
    if model is None or model is type(None):
        raise TypeError(f"the handler of {tool.name} must be annotated with what it returns")
    return model


def params_table(tool: Tool) -> str:
    """Every param: type, default and meaning."""
    head = ("param", "type", "default", "meaning")
    return _table(head, ((f"`{row.name}`", row.kind, _default(row), row.meaning) for row in params_rows(tool)))


def params_rows(tool: Tool) -> list[Row]:
    """What the tool takes."""
    return rows_of(json_schema(tool.params_model))


def returns_table(tool: Tool) -> str:
    """Every field of what the tool returns."""
    head = ("field", "type", "there", "meaning")
    return _table(head, ((f"`{row.name}`", row.kind, _presence(row), row.meaning) for row in returns_rows(tool)))


def returns_rows(tool: Tool) -> list[Row]:
    """What the tool returns.

    Raises:
        TypeError: see `result_model`.
    """
    return rows_of(_schema_of_output(result_model(tool)))


def _schema_of_output(model: Any) -> Mapping[str, Any]:
    if not hasattr(model, "model_json_schema"):
        return json_schema(model)
    schema: Mapping[str, Any] = model.model_json_schema(
        by_alias=True, mode="serialization", schema_generator=_written_schema()
    )
    return schema


def _written_schema() -> type[Any]:
    from pydantic.json_schema import GenerateJsonSchema  # noqa: PLC0415 - tools can do without pydantic

    class WrittenSchema(GenerateJsonSchema):
        """Of what is written: a field with a default is there as well."""

        def field_is_required(self, field: Any, total: bool) -> bool:
            return True

    return WrittenSchema


def _default(row: Row) -> str:
    return "needed" if row.required and not row.nullable and not row.default else row.default


def _presence(row: Row) -> str:
    # The SDK leaves fields out that are null.
    return "if known" if row.nullable or not row.required else "always"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    escaped = (tuple(cell.replace("|", "\\|") for cell in row) for row in rows)
    lines = [head, ("---",) * len(head), *escaped]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
