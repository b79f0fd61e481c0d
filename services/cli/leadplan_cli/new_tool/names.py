"""The names of a new tool, all made from the one that was given."""

import re
from dataclasses import dataclass

from leadplan_cli.errors import BAD_USE, CommandError
from leadplan_contracts.wire import TOOL_PATTERN

_SUFFIX = "_tool"


@dataclass(frozen=True)
class ToolNames:
    """How a tool is called, and what has to have a name of its own.

    Attributes:
        tool: in plans, such as ``GREET_PEOPLE``.
        service: of the micro service and of the folder, such as ``greet-people``.
        module: of the Python package, such as ``greet_people_tool``: the ending keeps it apart from Python's own
            words and modules.
        distribution: what pip installs, such as ``greet-people-tool``.
    """

    tool: str
    service: str
    module: str
    distribution: str

    @classmethod
    def of(cls, text: str) -> "ToolNames":
        """Take ``GREET_PEOPLE`` or ``greet-people``.

        Raises:
            CommandError: that can't be a tool's name.
        """
        tool = text.upper().replace("-", "_")
        if not text.isascii() or not re.match(TOOL_PATTERN, tool):
            message = (
                f"{text!r} can't be a tool's name: take up to 64 letters, digits and _, first a letter, "
                "such as GREET_PEOPLE or greet-people"
            )
            raise CommandError(message, exit_code=BAD_USE)
        name = tool.lower()
        module = name if name.endswith(_SUFFIX) else name + _SUFFIX
        return cls(tool, name.replace("_", "-"), module, module.replace("_", "-"))
