"""``leadplan dev``: everything running until Ctrl-C, with its data kept in ``.leadplan``."""

import asyncio
import contextlib
import fcntl
import shlex
from collections.abc import Collection, Iterator
from pathlib import Path

from leadplan_cli.errors import CommandError
from leadplan_cli.local.progress_note import progress_note
from leadplan_cli.local.stack import LocalStack, StackPlan, local_stack

_RUNNING = """\
Everything runs; Ctrl-C stops it. Data stays in {folder}, each process has a log in {logs}.

  NATS      {nats_url}
  sandbox   {sandbox_url}   (stands in for the Google Places and Hunter APIs)

Try next, in another terminal:

  export NATS_URL={nats_url}
  leadplan plan "Find dentists in Leeds and start outreach" --target 40 --sequence 42 -o plan.json
  leadplan submit plan.json --watch
  leadplan monitors list
  export LEADPLAN_LEADS_DATABASE_URL={leads_database_url}
  leadplan leads list
  leadplan health --service leadplan-executor --tool HUNTER_ENRICH
"""


async def run_dev(folder: Path, nats_url: str | None, tools: Collection[str]) -> None:
    """Start everything, say where it is, and keep it running.

    Raises:
        CommandError: something didn't start or ended, or another ``dev`` uses the folder.
    """
    with _own_folder(folder):
        async with contextlib.AsyncExitStack() as stopping:
            with progress_note() as report:
                stack = await stopping.enter_async_context(local_stack(StackPlan(folder, nats_url, tools), report))
            print(_described(stack, folder), flush=True)  # noqa: T201 - this is the output
            await stack.guard(asyncio.Event().wait())


def _described(stack: LocalStack, folder: Path) -> str:
    return _RUNNING.format(
        folder=folder,
        logs=stack.log_folder,
        nats_url=stack.nats_url,
        sandbox_url=stack.sandbox_url,
        leads_database_url=shlex.quote(stack.leads_database_url),
    )


@contextlib.contextmanager
def _own_folder(folder: Path) -> Iterator[None]:
    """The folder, made if need be and locked: two servers on one data folder would damage it."""
    folder.mkdir(exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CommandError(f"another leadplan dev runs in {folder}: stop it, or use another folder") from None
        yield
