"""What is known of tools that are served, as rows of tables and as JSON."""

from collections.abc import Sequence
from typing import Any

from leadplan_bus.discovery import AnnouncedTool
from leadplan_bus.tool_survey import ToolInstance, ToolSurvey
from leadplan_cli.plan_lines import number_of
from leadplan_cli.terminal import printable
from leadplan_cli.tool_pages.schema_rows import rows_of
from leadplan_contracts.times import format_time
from leadplan_contracts.wire import encode

HEADINGS = ("Tool", "Instances", "Version", "Effects", "Schema", "Requests", "Errors", "Average")
INSTANCE_HEADINGS = ("  Service", "Instance", "Version", "Started (UTC)", "Requests", "Errors", "Average", "Last error")
_UNKNOWN = "?"


def tool_row(one: ToolSurvey) -> tuple[Any, ...]:
    """A tool on one line."""
    return (
        one.tool,
        len(one.instances),
        ", ".join(one.versions),
        ", ".join(one.effects) or _UNKNOWN,
        "yes" if one.has_schema else "no",
        _count(one.requests),
        _count(one.errors),
        _time(one.average_ms),
    )


def headline(one: ToolSurvey) -> str:
    """What a tool is, in one sentence."""
    effects = f"effects {' or '.join(one.effects)}" if one.effects else "effects unknown"
    versions = f"version{'s' if len(one.versions) > 1 else ''} {', '.join(one.versions)}"
    served = f"served by {number_of(len(one.instances), 'instance')} of {', '.join(one.services)}"
    return f"{one.tool}: {served}, {versions}, {effects}"


def instance_rows(one: ToolSurvey) -> list[tuple[Any, ...]]:
    """Each instance on one line."""
    return [
        (
            f"  {each.service}",
            each.instance,
            each.version,
            f"{each.started:%Y-%m-%d %H:%M:%S}" if each.started else _UNKNOWN,
            _count(each.requests),
            _count(each.errors),
            _time(each.average_ms),
            each.last_error or "",
        )
        for each in one.instances
    ]


def param_lines(schema: Any) -> list[str]:
    """The properties of a params schema: what each may hold, and below it what it means.

    None where it isn't an object's schema that can be read: it came from outside, and may be no valid schema.
    """
    try:
        rows = rows_of(schema)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return []
    lines: list[str] = []
    for row in rows:
        kind = f"{row.kind} or null" if row.nullable else row.kind
        default = f"default {row.default}" if row.default else ""
        told = "; ".join(part for part in ("required" if row.required else "", kind, default) if part)
        lines.append(f"  {row.name}: {told}".replace("`", ""))
        if row.meaning:
            lines.append(f"      {row.meaning}".replace("`", ""))
    return [printable(line) for line in lines]


def schema_of(tool: str, announced: Sequence[AnnouncedTool]) -> Any:
    """The params schema that the first instance of the newest version announces, None where there is none."""
    schemas = [(one.version, one.params_schema) for one in announced if one.tool == tool]
    known = [(version, schema) for version, schema in schemas if schema is not None]
    return max(known, key=lambda pair: pair[0])[1] if known else None


def tool_json(one: ToolSurvey, schema: Any) -> bytes:
    """One line of JSON: the tool, its params schema and its instances; what isn't known is left out."""
    return encode(
        _known(
            {
                "tool": one.tool,
                "services": one.services,
                "versions": one.versions,
                "effects": one.effects,
                "requests": one.requests,
                "errors": one.errors,
                "averageMs": one.average_ms,
                "paramsSchema": schema,
                "instances": [_instance_json(each) for each in one.instances],
            }
        )
    )


def _instance_json(each: ToolInstance) -> dict[str, Any]:
    started = format_time(int(each.started.timestamp() * 1000)) if each.started else None
    return _known(
        {
            "service": each.service,
            "instance": each.instance,
            "version": each.version,
            "effects": each.effects,
            "hasSchema": each.has_schema,
            "started": started,
            "requests": each.requests,
            "errors": each.errors,
            "lastError": each.last_error,
            "averageMs": each.average_ms,
        }
    )


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _count(number: int | None) -> str:
    return _UNKNOWN if number is None else str(number)


def _time(milliseconds: float | None) -> str:
    if milliseconds is None:
        return ""
    return f"{milliseconds:.1f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"
