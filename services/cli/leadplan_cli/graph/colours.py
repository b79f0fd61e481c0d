"""The colours of states in pictures: readable in black on white print as well, and told apart by their texts too."""

from typing import Final, NamedTuple

from leadplan_cli.plan_view import StepState


class Colours(NamedTuple):
    """Of a box, in hexadecimal RGB."""

    fill: str
    line: str


UNKNOWN: Final = Colours("#ffffff", "#57606a")
COLOURS: Final = {
    StepState.PENDING: Colours("#f6f8fa", "#8c959f"),
    StepState.RUNNING: Colours("#ddf4ff", "#0969da"),
    StepState.RETRYING: Colours("#fff8c5", "#bf8700"),
    StepState.WAITING: Colours("#fff1e5", "#bc4c00"),
    StepState.SUCCEEDED: Colours("#dafbe1", "#1a7f37"),
    StepState.FAILED: Colours("#ffebe9", "#cf222e"),
    StepState.SKIPPED: Colours("#eaeef2", "#6e7781"),
}
