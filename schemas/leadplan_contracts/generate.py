"""Write the JSON Schema files and the AsyncAPI document: ``python -m leadplan_contracts.generate [--check]``."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from leadplan_contracts.asyncapi import asyncapi_document
from leadplan_contracts.json_schema import schema_documents

PACKAGE_FOLDER = Path(__file__).parent


def generated_files() -> dict[str, str]:
    """The text of every generated file, by its path in this package."""
    documents: dict[str, Any] = {f"json/{name}.schema.json": schema for name, schema in schema_documents().items()}
    documents["asyncapi.json"] = asyncapi_document()
    return {path: json.dumps(document, indent=2, ensure_ascii=False) + "\n" for path, document in documents.items()}


def stale_files(folder: Path) -> list[str]:
    """Paths of the files that are missing in the folder, differ from the models, or belong to no model any more."""
    expected = generated_files()
    stale = [path for path, text in expected.items() if not _holds(folder / path, text)]
    left_over = {path.relative_to(folder).as_posix() for path in folder.glob("json/*")} - expected.keys()
    return sorted([*stale, *left_over])


def write_files(folder: Path) -> list[str]:
    """Bring the folder up to date and return the paths that were written or removed."""
    expected = generated_files()
    changed = stale_files(folder)
    for path in changed:
        target = folder / path
        if path in expected:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(expected[path], encoding="utf-8")
        else:
            target.unlink()
    return changed


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def main(arguments: list[str] | None = None, folder: Path = PACKAGE_FOLDER) -> int:
    """Run the command and return its exit code: 1 when ``--check`` finds stale files."""
    parser = argparse.ArgumentParser(
        prog="python -m leadplan_contracts.generate",
        description="Write the JSON Schema files and the AsyncAPI document from the wire models.",
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is stale, and name it")
    options = parser.parse_args(arguments)
    if not options.check:
        changed = write_files(folder)
        sys.stdout.write("".join(f"written: {path}\n" for path in changed) or "all files are up to date\n")
        return 0
    stale = stale_files(folder)
    if stale:
        listed = "".join(f"  {path}\n" for path in stale)
        sys.stderr.write(f"stale, run python -m leadplan_contracts.generate (make schemas):\n{listed}")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
