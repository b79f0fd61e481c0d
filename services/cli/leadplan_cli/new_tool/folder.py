"""Writing a new tool's folder from the templates that lie beside this module.

A template is a `string.Template`: ``$name`` is replaced, ``$$`` is a dollar sign.
"""

import time
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from string import Template

from leadplan_cli.errors import BAD_USE, CommandError
from leadplan_cli.new_tool.names import ToolNames
from leadplan_contracts import ToolEffects
from leadplan_contracts.times import format_time

_TEMPLATE_OF = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "Dockerfile": "Dockerfile",
    ".dockerignore": "dockerignore",
    "plan.json": "plan.json",
    "{module}/__init__.py": "package.py",
    "{module}/py.typed": "py.typed",
    "{module}/responder.py": "responder.py",
    "tests/test_{module}.py": "test.py",
}
"""The files of a new tool, each with the template that it is made from."""


def new_files(names: ToolNames, effects: ToolEffects) -> dict[Path, str]:
    """The text of each file, by its path in the folder."""
    templates = files("leadplan_cli.new_tool") / "templates"
    values = {
        **vars(names),
        "effects": effects.value,
        "about_effects": (templates / f"effects_{effects.value}.md.template").read_text(encoding="utf-8").rstrip(),
        "leadplan_version": version("leadplan"),
        "now": format_time(time.time_ns() // 1_000_000),
    }
    return {
        Path(path.format(module=names.module)): Template(
            (templates / f"{template}.template").read_text(encoding="utf-8")
        ).substitute(values)
        for path, template in _TEMPLATE_OF.items()
    }


def write_new_tool(folder: Path, names: ToolNames, effects: ToolEffects) -> None:
    """Write a tool that runs.

    Raises:
        CommandError: the folder is there already, or it can't be written.
    """
    texts = new_files(names, effects)
    try:
        folder.mkdir(parents=True)
        for path, text in texts.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except FileExistsError:
        message = f"{folder} is there already: remove it, or name another one with --folder"
        raise CommandError(message, exit_code=BAD_USE) from None
    except OSError as error:
        raise CommandError(f"can't write {folder}: {error.strerror}", exit_code=BAD_USE) from None
