"""What a responder says of itself, and what it refuses to be declared as."""

import json
import subprocess
import sys
from functools import partial
from typing import Any

import msgspec
import pydantic
import pytest
from nats.aio.client import Client
from pydantic.alias_generators import to_camel

import leadplan_responder
from leadplan_bus.discovery import discover_tools
from leadplan_responder import HandlerSignatureError, Responder, ToolContext


class StructParams(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    source_step_id: str
    max_results: int = 20


class ModelParams(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")
    source_step_id: str
    max_results: int = 20


def announcing() -> Responder:
    responder = Responder("announcer", version="2.1.0-rc.1", description="Announces its tools")

    @responder.tool("WITH_STRUCT", effects="none")
    async def with_struct(params: StructParams, ctx: ToolContext) -> None:
        """Find things.

        More about it.
        """

    @responder.tool("WITH_MODEL", effects="once", max_in_flight=3)
    async def with_model(params: ModelParams, ctx: ToolContext) -> None: ...

    return responder


async def test_info_holds_schema_effects_and_description(serve: Any, nc: Client):
    await serve(announcing())
    info = json.loads((await nc.request("$SRV.INFO.announcer", timeout=5)).data)
    assert (info["version"], info["description"]) == ("2.1.0-rc.1", "Announces its tools")
    endpoints = {endpoint["subject"]: endpoint["metadata"] for endpoint in info["endpoints"]}
    assert set(endpoints) == {"tools.WITH_STRUCT", "tools.WITH_MODEL"}
    struct, model = endpoints["tools.WITH_STRUCT"], endpoints["tools.WITH_MODEL"]
    assert all(isinstance(value, str) for metadata in (struct, model) for value in metadata.values())
    assert (struct["tool"], struct["effects"], struct["description"]) == ("WITH_STRUCT", "none", "Find things.")
    assert (model["tool"], model["effects"]) == ("WITH_MODEL", "once")
    assert ": " not in struct["params_schema"]


async def test_schemas_speak_the_language_of_the_wire(serve: Any, nc: Client):
    await serve(announcing())
    tools = {tool.tool: tool for tool in await discover_tools(nc)}
    struct = tools["WITH_STRUCT"].params_schema
    struct = struct["$defs"][struct["$ref"].rpartition("/")[2]]
    for schema in (struct, tools["WITH_MODEL"].params_schema):
        assert set(schema["properties"]) == {"sourceStepId", "maxResults"}
        assert schema["required"] == ["sourceStepId"]
        assert schema["additionalProperties"] is False
    assert tools["WITH_STRUCT"].service == "announcer"


class TestDeclaring:
    def test_a_decorated_function_stays_itself(self):
        responder = Responder("tester", version="1.0.0", description="Tests")

        async def handler(params: StructParams, ctx: ToolContext) -> None: ...

        assert responder.tool("TOOL", effects="none")(handler) is handler
        assert responder.tools["TOOL"].params_model is StructParams

    def test_a_bound_method_and_a_partial_are_handlers_too(self):
        class Service:
            async def search(self, params: "StructParams", ctx: "ToolContext") -> None: ...

        async def of_a_kind(kind: str, params: StructParams, ctx: ToolContext) -> None: ...

        responder = Responder("tester", version="1.0.0", description="Tests")
        responder.tool("METHOD", effects="none")(Service().search)
        responder.tool("PARTIAL", effects="none")(partial(of_a_kind, "x"))
        assert responder.tools["METHOD"].params_model is StructParams
        assert responder.tools["PARTIAL"].params_model is StructParams

    def test_only_the_annotation_of_the_params_matters(self):
        async def handler(params: "StructParams", ctx: "OnlyForTypeCheckers") -> "AlsoThat": ...  # noqa: F821

        responder = Responder("tester", version="1.0.0", description="Tests")
        responder.tool("TOOL", effects="none")(handler)
        assert responder.tools["TOOL"].params_model is StructParams

    @pytest.mark.parametrize("name", ["", "greet", "1GREET", "GREET.ALL", "G" * 65, "GREET\n", "GREET *"])
    def test_tool_names_have_a_form(self, name: str):
        with pytest.raises(ValueError, match="is no tool name"):
            Responder("tester", version="1.0.0", description="Tests").tool(name, effects="none")

    def test_a_tool_is_served_once(self):
        with pytest.raises(ValueError, match="WITH_STRUCT is served by this responder already"):
            announcing().tool("WITH_STRUCT", effects="none")

    def test_a_tool_needs_at_least_one_place(self):
        with pytest.raises(ValueError, match="max_in_flight"):
            announcing().tool("OTHER", effects="none", max_in_flight=0)

    @pytest.mark.parametrize(
        ("name", "version"),
        [("my tool", "1.0.0"), ("", "1.0.0"), ("tool.x", "1.0.0"), ("tool", "1.0"), ("tool", "v1.0.0"), ("tool", "")],
    )
    def test_name_and_version_are_checked_at_once(self, name: str, version: str):
        with pytest.raises(ValueError, match="service"):
            Responder(name, version=version, description="Tests")

    def test_handlers_of_another_form_are_refused(self):
        def sync(params: StructParams, ctx: ToolContext) -> None: ...
        async def one_parameter(params: StructParams) -> None: ...
        async def three_parameters(params: StructParams, ctx: ToolContext, more: int) -> None: ...
        async def keyword_only(params: StructParams, *, ctx: ToolContext) -> None: ...

        wrong = {
            sync: "sync must be an async function",
            one_parameter: r"one_parameter must take \(params, ctx\)",
            three_parameters: r"three_parameters must take \(params, ctx\)",
            keyword_only: r"keyword_only must take \(params, ctx\)",
        }
        for handler, message in wrong.items():
            with pytest.raises(HandlerSignatureError, match=message):
                Responder("tester", version="1.0.0", description="Tests").tool("TOOL", effects="none")(handler)

    def test_params_without_a_model_are_refused(self):
        class NoModel:
            pass

        class Local(msgspec.Struct):
            name: str

        async def no_annotation(params, ctx: ToolContext) -> None: ...
        async def no_model(params: NoModel, ctx: ToolContext) -> None: ...
        async def no_type(params: "not a type", ctx: ToolContext) -> None: ...  # noqa: F722
        async def a_value(params: 5, ctx: ToolContext) -> None: ...
        async def local_by_name(params: "Local", ctx: ToolContext) -> None: ...

        wrong = {
            no_annotation: "no_annotation must annotate its params with a model",
            no_model: "the params of no_model can't be NoModel: use a msgspec Struct, a pydantic model",
            no_type: "the annotation 'not a type' of no_type can't be resolved",
            a_value: "the params of a_value can't be 5: use",
            local_by_name: "'Local' of local_by_name can't be resolved .*: declare the model at the top",
        }
        for handler, message in wrong.items():
            with pytest.raises(HandlerSignatureError, match=message):
                Responder("tester", version="1.0.0", description="Tests").tool("TOOL", effects="none")(handler)


def test_the_public_names_are_these():
    names = ["NOT_DONE", "ConfigurationError", "HandlerSignatureError", "Responder", "ResponderError"]
    names += ["ToolContext", "ToolError"]
    assert leadplan_responder.__all__ == names, "its order is ruff's to check"
    assert all(hasattr(leadplan_responder, name) for name in names)


def test_importing_it_loads_nothing_that_a_tool_team_has_not_installed():
    program = """if True:
        import sys
        import leadplan_responder, leadplan_responder.serving, leadplan_responder.testing
        heavy = {"pydantic", "httpx", "structlog", "rich", "typer", "sqlalchemy", "jsonschema", "leadplan_executor"}
        print(*sorted(heavy & set(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == ""
