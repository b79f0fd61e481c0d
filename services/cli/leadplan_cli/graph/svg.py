"""A plan as a picture: SVG without scripts, fonts or files of its own."""

import html

from leadplan_cli.graph.colours import COLOURS, UNKNOWN, Colours
from leadplan_cli.graph.layers import Place, lay_out
from leadplan_cli.graph.model import GraphStep, PlanGraph

_BOX_WIDTH, _BOX_HEIGHT = 200, 56
_GAP_WIDTH, _GAP_HEIGHT = 60, 18
_MARGIN, _HEADING = 20, 44
_MOST_CHARACTERS = 26


def svg_lines(graph: PlanGraph) -> list[str]:
    """The picture's lines: a heading, the dependencies, and a box a step, the first ones on the left."""
    layout = lay_out(graph)
    width = max(2 * _MARGIN + layout.layers * (_BOX_WIDTH + _GAP_WIDTH) - _GAP_WIDTH, 320)
    height = _HEADING + _MARGIN + layout.rows * (_BOX_HEIGHT + _GAP_HEIGHT)
    title = _escaped(graph.title)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        ' font-family="system-ui, sans-serif" font-size="12">',
        f"<title>{title}</title>",
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#57606a"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_MARGIN}" y="26" font-size="15" font-weight="bold" fill="#1a1a1a">{title}'
        f'<tspan dx="10" font-size="12" font-weight="normal" fill="#57606a">{_escaped(graph.plan_id)}</tspan></text>',
    ]
    lines += [_line(places) for places in layout.lines.values()]
    for step in graph.steps:
        lines += _box(step, *_corner(layout.places[step.id]))
    return [*lines, "</svg>"]


def _corner(place: Place) -> tuple[float, float]:
    layer, row = place
    return _MARGIN + layer * (_BOX_WIDTH + _GAP_WIDTH), _HEADING + row * (_BOX_HEIGHT + _GAP_HEIGHT)


def _line(places: tuple[Place, ...]) -> str:
    """From the right side of the first box to the left side of the last, through what lies between."""
    x, y = _corner(places[0])
    x, y = x + _BOX_WIDTH, y + _BOX_HEIGHT / 2
    path = f"M{x:g} {y:g}"
    for number, place in enumerate(places[1:], 1):
        to_x, to_y = _corner(place)
        to_y += _BOX_HEIGHT / 2
        half = (to_x - x) / 2
        path += f"C{x + half:g} {y:g} {to_x - half:g} {to_y:g} {to_x:g} {to_y:g}"
        x, y = to_x, to_y
        if number < len(places) - 1:
            x += _BOX_WIDTH
            path += f"H{x:g}"
    return f'<path d="{path}" fill="none" stroke="#57606a" marker-end="url(#arrow)"/>'


def _box(step: GraphStep, x: float, y: float) -> list[str]:
    colours: Colours = UNKNOWN if step.state is None else COLOURS[step.state]
    state = f"  {step.state.value}" if step.state is not None else ""
    said = [step.id, step.tool, step.label, f"{state.strip()} {step.note}".strip()]
    hover = "\n".join(dict.fromkeys(one for one in said if one))
    return [
        f"<g><title>{_escaped(hover)}</title>",
        f'<rect x="{x:g}" y="{y:g}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="6"'
        f' fill="{colours.fill}" stroke="{colours.line}"/>',
        f'<text x="{x + 10:g}" y="{y + 20:g}" font-weight="bold" fill="#1a1a1a">{_short(step.label)}</text>',
        f'<text x="{x + 10:g}" y="{y + 35:g}" font-size="10" fill="#57606a">{_short(step.tool)}</text>',
        f'<text x="{x + 10:g}" y="{y + 48:g}" font-size="10" fill="{colours.line}">{_short(state.strip())}</text></g>',
    ]


def _short(text: str) -> str:
    return _escaped(text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…")


def _escaped(text: str) -> str:
    # XML takes no control characters, not even as entities.
    return html.escape("".join(one if one.isprintable() or one == "\n" else " " for one in text))
