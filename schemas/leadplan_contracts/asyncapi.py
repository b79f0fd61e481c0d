"""The AsyncAPI 3.0 document: every subject of protocol section 1 with its messages, from the wire models.

The described application is the executor: it receives what others send it, and sends the rest.
"""

from typing import Any

from leadplan_contracts import subjects
from leadplan_contracts.events import LeadPlanEventType
from leadplan_contracts.json_schema import event_names, schema_components, schema_id
from leadplan_contracts.wire import PLAN_ID_PATTERN, TOOL_PATTERN

_CONTROL = {
    "status": ("StatusRequest", "PlanStatus", "How a plan stands, told from its log."),
    "validate": ("PlanSubmission", "ValidationReport", "What `plans.execute` would say to a submission."),
    "list": ("ListRequest", "PlanPage", "Plans, those that changed last first."),
    "cancel": ("CancelRequest", "ControlReply", "End a plan as `cancelled`."),
    "pause": ("PauseRequest", "ControlReply", "Start nothing new."),
    "resume": ("ResumeRequest", "ControlReply", "Go on after a pause."),
    "retry": ("RetryRequest", "ControlReply", "Run a finished plan again from what failed or was skipped."),
    "approve": ("ApproveRequest", "ControlReply", "Let a step run that waits for a person, or refuse it."),
}
"""Model of the request, model of the reply, and what it is for, by endpoint."""
_SCHEMAS = "#/components/schemas/{name}"
_JSON = "application/json"
_TEXT = {"type": "string"}

_PLAN_ID = {"planId": {"description": f"A plan id: `{PLAN_ID_PATTERN}`."}}
_TOOL = {"tool": {"description": f"A tool: `{TOOL_PATTERN}`.", "examples": ["HUNTER_ENRICH"]}}
_QUEUE = {"nats": {"queue": subjects.RESPONDER_QUEUE_GROUP, "bindingVersion": "0.1.0"}}
_LIVE_ONLY = {LeadPlanEventType.STEP_PROGRESS}
_NOT_IN_LOG = {LeadPlanEventType.STEP_PROGRESS, LeadPlanEventType.PLAN_REJECTED}


def asyncapi_document() -> dict[str, Any]:
    """The whole document as plain JSON values."""
    return {
        "asyncapi": "3.0.0",
        "id": schema_id("asyncapi"),
        "info": {
            "title": "leadplan",
            "version": "1.0.0",
            "description": (
                "Plans in, events out, tools in between, over NATS with JetStream, seen from the executor. "
                "Times are RFC 3339 UTC; keys that a reader doesn't know are to be ignored; "
                "a field that is absent and a field that is null mean the same."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": _JSON,
        "servers": {
            "nats": {
                "host": "{host}",
                "protocol": "nats",
                "description": "nats-server 2.14 or newer with JetStream.",
                "variables": {"host": {"default": "localhost:4222", "description": "Host and port of NATS_URL."}},
            }
        },
        "channels": {**_plan_channels(), **_tool_channels(), **_control_channels()},
        "operations": {**_plan_operations(), **_tool_operations(), **_control_operations()},
        "components": {"messages": _messages(), "schemas": schema_components(_SCHEMAS)},
        "x-jetstream": _jetstream(),
    }


def _plan_channels() -> dict[str, Any]:
    types = list(event_names())
    return {
        "planSubmissions": {
            "address": subjects.PLANS_EXECUTE,
            "description": "Plans to run. A request gets JetStream's acknowledgement: then the plan is safe.",
            "messages": _named("planSubmission"),
            "x-jetstream": {"stream": subjects.PLANS_STREAM, "consumer": subjects.EXECUTORS_CONSUMER},
        },
        "planEvents": {
            "address": subjects.plan_events_subject("{planId}"),
            "description": (
                "The live feed of a plan (core NATS): the server republishes the log and the rejections here, and the "
                "executor adds STEP_PROGRESS. `plans.events.*` is the feed of all plans."
            ),
            "parameters": _PLAN_ID,
            "messages": _named(*types),
        },
        "planLog": {
            "address": subjects.plan_log_subject("{planId}"),
            "description": (
                "The stored events of a plan. Only executors append, and every append is fenced by "
                f"`{subjects.EXPECTED_LAST_SUBJECT_SEQUENCE_HEADER}`."
            ),
            "parameters": _PLAN_ID,
            "messages": _named(*(each for each in types if each not in _NOT_IN_LOG)),
            "x-jetstream": {"stream": subjects.PLAN_LOG_STREAM},
        },
        "planSchedules": {
            "address": subjects.plan_schedule_subject("{monitorId}"),
            "description": (
                f"A message schedule with the target `{subjects.PLANS_EXECUTE}`, written by the monitor tool and fired "
                "by the server. Each firing runs under the id `<plan.id>-<stream sequence>`."
            ),
            "parameters": {"monitorId": {"description": "One NATS token."}},
            "messages": _named("scheduledPlan"),
            "x-jetstream": {"stream": subjects.PLANS_STREAM},
        },
        "planRejects": {
            "address": subjects.plan_rejected_subject("{planId}"),
            "description": f"Messages that were no valid plan; `{subjects.UNREADABLE_PLAN_ID}` for an unreadable id.",
            "parameters": _PLAN_ID,
            "messages": _named(LeadPlanEventType.PLAN_REJECTED),
            "x-jetstream": {"stream": subjects.PLAN_REJECTS_STREAM},
        },
    }


def _tool_channels() -> dict[str, Any]:
    return {
        "toolRequests": {
            "address": subjects.tool_subject("{tool}"),
            "description": (
                "Where the responders of a tool take requests (core request/reply), all in the queue group "
                f"`{subjects.RESPONDER_QUEUE_GROUP}`."
            ),
            "parameters": _TOOL,
            "messages": _named("toolRequest"),
        },
        "toolReplies": {
            "address": None,
            "description": (
                "The reply subject of the request, an inbox of the executor. Any number of signs of life may come "
                "before the one final reply."
            ),
            "messages": _named("toolReply", "signOfLife", "serviceError"),
        },
        "toolCancellations": {
            "address": subjects.tool_cancel_subject("{tool}"),
            "description": "Heard by every responder of the tool, without a queue group.",
            "parameters": _TOOL,
            "messages": _named("cancelNotice"),
        },
    }


def _control_channels() -> dict[str, Any]:
    service = f"An endpoint of the micro service `{subjects.EXECUTOR_SERVICE_NAME}` (ADR-32)."
    channels: dict[str, Any] = {}
    for name, (_, _, purpose) in _CONTROL.items():
        channels[f"{name}Requests"] = {
            "address": subjects.plan_control_subject(name),
            "description": f"{purpose} {service}",
            "messages": _named(f"{name}Request"),
        }
        channels[f"{name}Replies"] = {
            "address": None,
            "description": "The reply subject of the request.",
            "messages": _named(f"{name}Reply", "controlProblem"),
        }
    return channels


def _plan_operations() -> dict[str, Any]:
    return {
        "receivePlan": {
            **_operation("receive", "planSubmissions"),
            "description": "All executors share one durable pull consumer; its ack wait is the lease on a plan.",
        },
        "appendEvent": {
            **_operation("send", "planLog"),
            "description": "A stored event reaches `plans.events.<planId>` by the stream's republish.",
        },
        "sendProgress": _operation("send", "planEvents", messages=sorted(_LIVE_ONLY)),
        "rejectPlan": _operation("send", "planRejects"),
    }


def _tool_operations() -> dict[str, Any]:
    return {
        "callTool": {
            **_operation("send", "toolRequests", reply="toolReplies"),
            "description": "The queue is the group in which responders subscribe.",
            "bindings": _QUEUE,
        },
        "cancelToolCall": _operation("send", "toolCancellations"),
    }


def _control_operations() -> dict[str, Any]:
    return {
        f"serve{name.capitalize()}": {
            **_operation("receive", f"{name}Requests", reply=f"{name}Replies"),
            "bindings": _QUEUE,
        }
        for name in _CONTROL
    }


def _messages() -> dict[str, Any]:
    trace = {subjects.TRACEPARENT_HEADER: {"type": "string", "description": "W3C trace context."}}
    service_error = {
        subjects.SERVICE_ERROR_HEADER: _TEXT,
        subjects.SERVICE_ERROR_CODE_HEADER: {"type": "string", "pattern": "^[0-9]+$"},
    }
    schedule = {
        subjects.SCHEDULE_HEADER: {"type": "string", "description": "Six-field cron, `@every` or `@at`."},
        subjects.SCHEDULE_TARGET_HEADER: {"const": subjects.PLANS_EXECUTE},
        subjects.SCHEDULE_TIME_ZONE_HEADER: {"type": "string", "description": "IANA name; cron only."},
    }
    request = {
        **trace,
        subjects.IDEMPOTENCY_KEY_HEADER: {"type": "string", "description": "Equal to `idempotencyKey` in the body."},
        subjects.ATTEMPT_HEADER: {"type": "string", "pattern": "^[0-9]+$"},
    }
    working = {subjects.REPLY_KIND_HEADER: {"const": subjects.REPLY_KIND_WORKING}}
    return {
        "planSubmission": _message("A plan to run", "PlanSubmission", trace),
        "scheduledPlan": _message("A plan to run at times", "PlanSubmission", schedule, required=list(schedule)[:2]),
        **{name: _event(name, model) for name, model in event_names().items()},
        "toolRequest": _message("One attempt of a step", "ToolRequest", request),
        "toolReply": _message("The final reply", "LeadToolExecutionResult", {}),
        "signOfLife": _message("The tool is at work; the body may be empty", "ToolProgress", working, list(working)),
        "serviceError": {
            "summary": "A micro error reply (ADR-32)",
            "headers": {"type": "object", "properties": service_error, "required": list(service_error)},
        },
        "cancelNotice": _message("Stop this work if you can", "CancelNotice", {}),
        **{f"{name}Request": _message(purpose, model, {}) for name, (model, _, purpose) in _CONTROL.items()},
        **{f"{name}Reply": _message(None, model, {}) for name, (_, model, _) in _CONTROL.items()},
        "controlProblem": _message("A micro error reply (ADR-32)", "ControlProblem", service_error, [*service_error]),
    }


def _event(name: str, model: str) -> dict[str, Any]:
    """An event: a CloudEvent in binary mode."""
    sequenced = name not in _NOT_IN_LOG
    headers = {
        subjects.CE_SPECVERSION_HEADER: {"const": "1.0"},
        subjects.CE_ID_HEADER: {**_TEXT, **({"description": "`<planId>:<sequence>`"} if sequenced else {})},
        subjects.CE_SOURCE_HEADER: _TEXT,
        subjects.CE_TYPE_HEADER: {"const": f"{subjects.CE_TYPE_PREFIX}{name}"},
        subjects.CE_SUBJECT_HEADER: {**_TEXT, "description": "The step's id, on events about a step."},
        subjects.CE_TIME_HEADER: _TEXT,
        subjects.TRACEPARENT_HEADER: {**_TEXT, "description": "W3C trace context."},
    }
    required = [subjects.CE_SPECVERSION_HEADER, subjects.CE_ID_HEADER, subjects.CE_SOURCE_HEADER]
    return _message(None, model, headers, [*required, subjects.CE_TYPE_HEADER])


def _message(
    summary: str | None, model: str, headers: dict[str, Any], required: list[str] | None = None
) -> dict[str, Any]:
    message: dict[str, Any] = {"summary": summary} if summary else {}
    if headers:
        message["headers"] = {"type": "object", "properties": headers, **({"required": required} if required else {})}
    return {**message, "payload": {"$ref": _SCHEMAS.format(name=model)}}


def _named(*names: str) -> dict[str, Any]:
    return {str(name): {"$ref": f"#/components/messages/{name}"} for name in names}


def _operation(
    action: str, channel: str, *, messages: list[LeadPlanEventType] | None = None, reply: str | None = None
) -> dict[str, Any]:
    operation: dict[str, Any] = {"action": action, "channel": {"$ref": f"#/channels/{channel}"}}
    if messages:
        operation["messages"] = [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages]
    if reply:
        operation["reply"] = {"channel": {"$ref": f"#/channels/{reply}"}}
    return operation


def _jetstream() -> dict[str, Any]:
    """AsyncAPI has no binding for streams: what they are stands in this extension."""
    to_feed = subjects.plan_events_subject("{planId}")
    return {
        "streams": {
            subjects.PLANS_STREAM: {
                "subjects": [
                    subjects.PLANS_EXECUTE,
                    subjects.PLAN_SCHEDULE_ALL,
                    subjects.PLAN_WAKE_ALL,
                    subjects.PLAN_TIMER_ALL,
                    subjects.PLAN_LANE_ALL,
                ],
                "retention": "workqueue",
                "schedules": True,
                "consumers": {
                    subjects.EXECUTORS_CONSUMER: {"filterSubject": subjects.PLANS_EXECUTE, "ackPolicy": "explicit"},
                    subjects.WAKES_CONSUMER: {"filterSubject": subjects.PLAN_WAKE_ALL, "ackPolicy": "explicit"},
                    **{
                        subjects.lane_consumer(lane): {
                            "filterSubject": subjects.plan_lane_subject(lane, "*"),
                            "ackPolicy": "explicit",
                        }
                        for lane in range(subjects.PLAN_LANES)
                    },
                },
            },
            subjects.PLAN_LOG_STREAM: {
                "subjects": [subjects.PLAN_LOG_ALL],
                "retention": "limits",
                "republish": {"source": subjects.plan_log_subject("{planId}"), "destination": to_feed},
            },
            subjects.PLAN_REJECTS_STREAM: {
                "subjects": [subjects.PLAN_REJECTED_ALL],
                "retention": "limits",
                "republish": {"source": subjects.plan_rejected_subject("{planId}"), "destination": to_feed},
            },
        },
        "objectStores": {subjects.PLAN_DATA_BUCKET: {"description": "Data above 256 KiB, referred to by `dataRef`."}},
    }
