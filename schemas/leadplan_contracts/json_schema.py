"""The wire models as JSON Schema 2020-12, for people who build against the contract in another language.

The models say everything but what their undecoded parts hold; ``_refine`` adds that, and nothing else does.
"""

import inspect
from collections.abc import Iterator
from typing import Any

import msgspec

from leadplan_contracts import control
from leadplan_contracts.errors import PlanProblem
from leadplan_contracts.events import LeadPlanEventPayload
from leadplan_contracts.plan import LeadGenPlan, PlanSubmission
from leadplan_contracts.results import LeadGenExecutionResult, LeadGenStepResult
from leadplan_contracts.tool_protocol import CancelNotice, LeadToolExecutionResult, ToolProgress, ToolRequest

JsonSchema = dict[str, Any]

TOP_LEVEL_MODELS: dict[str, Any] = {
    "plan-submission": PlanSubmission,
    "plan": LeadGenPlan,
    "step-result": LeadGenStepResult,
    "execution-result": LeadGenExecutionResult,
    "event": LeadPlanEventPayload,
    "tool-request": ToolRequest,
    "tool-reply": LeadToolExecutionResult,
    "tool-progress": ToolProgress,
    "cancel-notice": CancelNotice,
    "plan-problem": PlanProblem,
    "status-request": control.StatusRequest,
    "plan-status": control.PlanStatus,
    "list-request": control.ListRequest,
    "plan-page": control.PlanPage,
    "validation-report": control.ValidationReport,
    "cancel-request": control.CancelRequest,
    "pause-request": control.PauseRequest,
    "resume-request": control.ResumeRequest,
    "retry-request": control.RetryRequest,
    "approve-request": control.ApproveRequest,
    "control-reply": control.ControlReply,
    "control-problem": control.ControlProblem,
}
"""What travels as a message of its own, or is worth a schema of its own, by the name of its schema file."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_DEFINITIONS = "#/$defs/{name}"


def schema_id(name: str) -> str:
    """The ``$id`` of a top-level model's schema."""
    return f"urn:leadplan:v1:{name}"


def schema_components(ref_template: str) -> dict[str, JsonSchema]:
    """The schema of every model by the model's name.

    Args:
        ref_template: what a reference to a model looks like, with ``{name}`` for the model's name.
    """
    _, components = msgspec.json.schema_components(TOP_LEVEL_MODELS.values(), ref_template=ref_template)
    _refine(components, ref_template)
    for component in components.values():
        _tidy_description(component)
    return dict(sorted(components.items()))


def schema_documents() -> dict[str, JsonSchema]:
    """A self-contained schema for each top-level model, by its name."""
    components = schema_components(_DEFINITIONS)
    return {name: _document(name, model, components) for name, model in TOP_LEVEL_MODELS.items()}


def event_names() -> dict[str, str]:
    """The model's name for each event type, in the order of the union."""
    (event,), _ = msgspec.json.schema_components([LeadPlanEventPayload], ref_template="{name}")
    return dict(event["discriminator"]["mapping"])


def _refine(components: dict[str, JsonSchema], ref_template: str) -> None:
    """Say what the parts hold that the models keep as undecoded JSON. ``data`` is left out: it may be any JSON."""
    plan = components["LeadGenPlan"]
    components["LeadGenPlanForTools"] = {
        **plan,
        "title": "LeadGenPlanForTools",
        "description": "The plan as a tool gets it: without `steps` where its JSON is over 32 KiB.",
        "required": [field for field in plan["required"] if field != "steps"],
    }
    for model, plan_name in (("PlanStarted", "LeadGenPlan"), ("ToolRequest", "LeadGenPlanForTools")):
        components[model]["properties"]["plan"]["$ref"] = ref_template.format(name=plan_name)


def _document(name: str, model: Any, components: dict[str, JsonSchema]) -> JsonSchema:
    if model is LeadPlanEventPayload:
        root: JsonSchema = {
            "title": "LeadPlanEventPayload",
            "description": "An event of a plan, told apart by `type` (protocol section 4).",
            "oneOf": [{"$ref": _DEFINITIONS.format(name=event)} for event in event_names().values()],
        }
    else:
        root = components[model.__name__]
    needed = set(_needed_definitions(root, components))
    definitions = {definition: schema for definition, schema in components.items() if definition in needed}
    document = {"$schema": DIALECT, "$id": schema_id(name), **root}
    return {**document, "$defs": definitions} if definitions else document


def _needed_definitions(root: JsonSchema, components: dict[str, JsonSchema]) -> list[str]:
    """The models that a schema refers to, directly or through others."""
    needed = list(dict.fromkeys(_references(root)))
    for name in needed:
        needed += [further for further in dict.fromkeys(_references(components[name])) if further not in needed]
    return needed


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(reference := schema.get("$ref"), str):
            yield reference.rpartition("/")[2]
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from _references(part)


def _tidy_description(component: JsonSchema) -> None:
    # Docstrings are indented reStructuredText; readers of a schema expect Markdown.
    if description := component.get("description"):
        component["description"] = inspect.cleandoc(description).replace("``", "`")
