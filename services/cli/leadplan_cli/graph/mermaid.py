"""A plan as a Mermaid flowchart, for pages that draw it (GitHub, GitLab, many wikis)."""

import html

from leadplan_cli.graph.colours import COLOURS
from leadplan_cli.graph.model import GraphStep, PlanGraph


def mermaid_lines(graph: PlanGraph) -> list[str]:
    """The flowchart's lines."""
    # Ids of steps may be words of Mermaid's own, such as "end": so they stand in the texts only.
    names = {step.id: f"s{number}" for number, step in enumerate(graph.steps)}
    lines = ["---", f"title: {_yaml(graph.title)}", "---", "flowchart LR"]
    lines += [f'  {names[step.id]}["{_label(step)}"]{_class(step)}' for step in graph.steps]
    for step in graph.steps:
        lines += [f"  {names[dependency]} --> {names[step.id]}" for dependency in step.depends_on]
    states = {step.state for step in graph.steps if step.state is not None}
    lines += [
        f"  classDef {state.value} fill:{COLOURS[state].fill},stroke:{COLOURS[state].line},color:#1a1a1a"
        for state in sorted(states)
    ]
    return lines


def _label(step: GraphStep) -> str:
    parts = [f"<b>{_text(step.id)}</b>", _text(step.tool)]
    if step.label != step.id:
        parts.insert(1, _text(step.label))
    if step.state is not None:
        parts.append(f"<i>{_text(step.state.value)}</i>")
    return "<br/>".join(parts)


def _class(step: GraphStep) -> str:
    return f":::{step.state.value}" if step.state is not None else ""


def _text(text: str) -> str:
    # Mermaid's entities begin with # in place of &; a backtick would begin Markdown.
    escaped = html.escape(" ".join(text.split()).replace("#", "\0"), quote=True)
    return escaped.replace("&", "#").replace("\0", "#35;").replace("`", "#96;")


def _yaml(text: str) -> str:
    quoted = " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"'
