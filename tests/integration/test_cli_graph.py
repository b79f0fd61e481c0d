"""Drawing plans, without any server: the text tree, Mermaid, SVG and where steps stand."""

import io
import json
import re
import xml.etree.ElementTree as ET
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from leadplan_cli.graph.layers import lay_out
from leadplan_cli.graph.mermaid import mermaid_lines
from leadplan_cli.graph.model import GraphStep, PlanGraph, graph_of
from leadplan_cli.graph.svg import svg_lines
from leadplan_cli.graph.text_tree import tree_lines
from leadplan_cli.main import app, main
from leadplan_cli.plan_view import StepState
from leadplan_cli.terminal import Paint
from leadplan_contracts import LeadGenPlan
from leadplan_contracts.events import decode_event

TIME = "2026-11-23T09:15:02.417Z"
SVG = "{http://www.w3.org/2000/svg}"


class Utf8Out(io.StringIO):
    encoding = "utf-8"


PLAIN = Paint(Utf8Out(), {})


def graph(*steps: str, title: str = "Title") -> PlanGraph:
    """Steps as ``name`` or ``name < dependency dependency``."""
    made = []
    for step in steps:
        name, _, dependencies = step.partition(" < ")
        made.append(GraphStep(name, name.upper(), name, tuple(dependencies.split())))
    return PlanGraph("p", title, tuple(made))


def tree(drawn: PlanGraph) -> list[str]:
    """The tree's lines without the tools."""
    return [re.sub("  [A-Z]+$", "", line) for line in tree_lines(drawn, PLAIN)]


def test_a_chain_stays_narrow():
    assert tree(graph("a", "b < a", "c < b"))[1:] == ["  a", "↓ b", "↓ c"]


def test_a_step_that_waits_for_two_stands_once():
    lines = tree(graph("a", "b < a", "c < a", "d < b c", "e < d", "f < d"))
    assert lines[1:8] == ["  a", "  ├─ b", "  │  └─ → d", "  └─ c", "   ↓ d", "     ├─ e", "     └─ f"]
    assert "stands below the last one that it waits for" in lines[-1]


def test_several_beginnings_stand_side_by_side():
    assert tree(graph("a", "b", "c < b"))[1:] == ["  a", "  b", "↓ c"]


def test_ten_thousand_steps_in_a_row_can_be_drawn():
    steps = [GraphStep("s0", "T", "s0", ())]
    steps += [GraphStep(f"s{n}", "T", f"s{n}", (f"s{n - 1}",)) for n in range(1, 10_000)]
    lines = tree_lines(PlanGraph("p", "t", tuple(steps)), PLAIN)
    assert len(lines) == 10_001
    assert max(map(len, lines)) < 20


def test_a_terminal_without_unicode_gets_ascii():
    class AsciiOut(io.StringIO):
        encoding = "ascii"

    failed = GraphStep("a", "T", "a", (), StepState.FAILED, "no")
    drawn = PlanGraph("p", "t", (failed, *graph("a", "b < a", "c < a b").steps[1:]))
    text = "\n".join(tree_lines(drawn, Paint(AsciiOut(), {})))
    assert text.isascii()
    assert "x a  T  failed: no" in text


def test_text_of_others_does_not_steer_the_terminal():
    drawn = PlanGraph("p", "evil\x1b[2J", (GraphStep("a", "T", "la\x1bbel\n", (), StepState.FAILED, "no\x07te"),))
    assert not any(set(line) & {"\x1b", "\x07", "\n"} for line in tree_lines(drawn, PLAIN))


def plan_json(**more: Any) -> dict[str, Any]:
    steps = [
        {"id": "a", "tool": "A", "params": {}, "label": "First"},
        {"id": "b", "tool": "B", "params": {}, "dependsOn": ["a", "a"]},
    ]
    return {"id": "p", "title": "T", "goal": {"description": "g"}, "createdAt": TIME, "steps": steps, **more}


def test_states_come_from_the_log():
    plan = msgspec.convert(plan_json(), LeadGenPlan)
    step = {"id": "a", "tool": "A"}
    result = {"stepId": "a", "status": "failed", "attempts": 3, "finishedAt": TIME, "errorMessage": "too slow"}
    events = [
        {"type": "PLAN_STARTED", "plan": plan_json(), "meta": {"executor": "e"}},
        {"type": "STEP_FAILED", "step": step, "result": result, "meta": {"errorCode": "timeout"}},
    ]
    decoded = [decode_event(msgspec.json.encode({"planId": "p", "time": TIME, **one})) for one in events]
    drawn = graph_of(plan, decoded)
    assert [one.state for one in drawn.steps] == [StepState.FAILED, StepState.PENDING]
    assert drawn.steps[0].note == "3 attempts: too slow"
    assert drawn.steps[1].depends_on == ("a",)
    assert [one.state for one in graph_of(plan).steps] == [None, None]


def test_mermaid_has_a_node_a_step_and_an_edge_a_dependency():
    odd = GraphStep("end", "T", 'x"]<b>#`', (), StepState.FAILED)
    drawn = PlanGraph("p", 'A "title"', (odd, GraphStep("b", "B", "b", ("end",))))
    lines = mermaid_lines(drawn)
    assert lines[:4] == ["---", 'title: "A \\"title\\""', "---", "flowchart LR"]
    assert lines[4] == ('  s0["<b>end</b><br/>x#quot;]#lt;b#gt;#35;#96;<br/>T<br/><i>failed</i>"]:::failed')
    assert "  s0 --> s1" in lines
    assert lines[-1].startswith("  classDef failed fill:#")


def test_the_picture_is_xml_with_a_box_a_step_and_a_line_a_dependency():
    drawn = graph("a", "b < a", "c < a b", title='<&"> \x00')
    root = ET.fromstring("\n".join(svg_lines(drawn)))
    boxes = root.findall(f"{SVG}g")
    assert [box.findtext(f"{SVG}text") for box in boxes] == ["a", "b", "c"]
    assert len(root.findall(f"{SVG}path")) == 3
    assert root.findtext(f"{SVG}title") == '<&">  '
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    for box in root.iter(f"{SVG}rect"):
        assert float(box.get("x", 0)) + float(box.get("width", 0)) <= width
        assert float(box.get("y", 0)) + float(box.get("height", 0)) <= height


def test_a_line_over_several_layers_goes_around_the_steps_between():
    layout = lay_out(graph("a", "b < a", "c < a b"))
    assert [layout.places[name][0] for name in "abc"] == [0, 1, 2]
    through = layout.lines["a", "c"]
    assert len(through) == 3
    assert through[1] != layout.places["b"]


@st.composite
def graphs(draw: st.DrawFn) -> PlanGraph:
    count = draw(st.integers(1, 12))
    steps = []
    for number in range(count):
        chosen = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        steps.append(GraphStep(f"s{number}", "T", f"s{number}", tuple(f"s{one}" for one in sorted(chosen))))
    return PlanGraph("p", "t", tuple(draw(st.permutations(steps))))


@given(graphs())
def test_every_step_is_drawn_once_and_behind_what_it_waits_for(drawn: PlanGraph):
    ids = [step.id for step in drawn.steps]
    full = [line.split()[-2] for line in tree_lines(drawn, PLAIN)[1:] if line and "→" not in line]
    assert sorted(full) == sorted(ids)
    pointers = [line for line in tree_lines(drawn, PLAIN) if "→ s" in line]
    edges = sum(len(step.depends_on) for step in drawn.steps)
    assert len(pointers) == edges - sum(1 for step in drawn.steps if step.depends_on)
    layout = lay_out(drawn)
    assert len(set(layout.places.values())) == len(ids)
    for step in drawn.steps:
        assert all(layout.places[one][0] < layout.places[step.id][0] for one in step.depends_on)
        assert full.index(step.id) > max((full.index(one) for one in step.depends_on), default=-1)
        for one in step.depends_on:
            between = set(layout.lines[one, step.id][1:-1])
            assert not between & set(layout.places.values())


def test_a_file_is_drawn_without_a_server(tmp_path):
    file = tmp_path / "plan.json"
    file.write_text(json.dumps({"plan": plan_json(), "user": {"userId": "u"}}))
    outcome = CliRunner().invoke(app, ["graph", str(file)])
    assert (outcome.exit_code, outcome.output.splitlines()[0]) == (0, "T  p")
    for name, beginning in (("x.svg", "<svg "), ("x.mmd", "---"), ("x.txt", "T  p")):
        outcome = CliRunner().invoke(app, ["graph", str(file), "-o", str(tmp_path / name)])
        assert (outcome.exit_code, outcome.stdout) == (0, "")
        assert (tmp_path / name).read_text().startswith(beginning)


@pytest.mark.parametrize("steps", [[], [{"id": "a", "tool": "A", "params": {}, "dependsOn": ["a"]}]])
def test_a_plan_that_is_none_is_told_with_its_problems(tmp_path, steps, capsys):
    file = tmp_path / "plan.json"
    file.write_text(json.dumps({"plan": plan_json(steps=steps), "user": {"userId": "u"}}))
    with pytest.raises(SystemExit) as caught:
        main(["graph", str(file)])
    assert caught.value.code == 2
    assert "plan.steps" in capsys.readouterr().err
