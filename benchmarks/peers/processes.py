"""Servers and workers of a round: started on free ports of 127.0.0.1, and gone when the round ends."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_START_SECONDS = 60.0
_STOP_SECONDS = 5.0
HOST = "127.0.0.1"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> Callable[[str], bool]:
    """A sign of readiness: somebody listens on this port."""

    def ready(_said: str) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return True
        return False

    return ready


def says(text: str) -> Callable[[str], bool]:
    """A sign of readiness: this stands in what the process writes."""
    return lambda said: text in said


@contextmanager
def running(
    command: list[str | Path],
    ready: Callable[[str], bool],
    *,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    as_user: str | None = None,
) -> Iterator[None]:
    """A process, and all that it starts, from when it is ready.

    Args:
        command: the program and its arguments.
        ready: tells from what the process has written so far whether it can be used.
        folder: where it runs and keeps its data and its output.
        environment: added to this process's own.
        as_user: who runs it, where this process may choose.
    """
    log = folder / f"{Path(command[0]).name}-{secrets.token_hex(2)}.log"
    settings: dict[str, Any] = {"cwd": folder, "env": {**os.environ, **(environment or {})}, "start_new_session": True}
    if as_user is not None and os.geteuid() == 0:
        settings |= {"user": as_user, "group": as_user, "extra_groups": []}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **settings)  # noqa: S603 - what the benchmark compares
    try:
        _wait(process, log, ready)
        yield
    finally:
        _stop(process)


def _wait(process: subprocess.Popen[bytes], log: Path, ready: Callable[[str], bool]) -> None:
    begun = time.monotonic()
    while not ready(said := log.read_text(errors="replace")):
        if process.poll() is not None or time.monotonic() - begun > _START_SECONDS:
            raise RuntimeError(f"{log.stem} isn't ready: {said[-1500:]}")
        time.sleep(0.02)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the process and what it started: it leads a session of its own."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)


@contextmanager
def nats_server(program: Path, folder: Path, *, sync_always: bool) -> Iterator[str]:
    """A server with JetStream on files; its address."""
    port = free_port()
    sync = ", sync_interval: always" if sync_always else ""
    config, store = folder / "nats.conf", folder / "nats"
    config.write_text(
        f'listen: "{HOST}:{port}"\n'
        f'jetstream {{ store_dir: "{store}"{sync} }}\n'
        "feature_flags { js_ack_fc_v2: false }\n"  # as in the server that leadplan brings
    )
    with running([program, "-c", config], says("Server is ready"), folder=folder):
        yield f"nats://{HOST}:{port}"


@contextmanager
def redis_server(program: Path, folder: Path) -> Iterator[str]:
    """A server whose append-only file is synced every second; its address."""
    port = free_port()
    options = ["--bind", HOST, "--port", str(port), "--dir", str(folder), "--appendonly", "yes", "--save", ""]
    with running([program, *options, "--appendfsync", "everysec"], listens(port), folder=folder):
        yield f"redis://{HOST}:{port}/0"


@contextmanager
def postgres(programs: Path, folder: Path, *, sync: bool) -> Iterator[str]:
    """A fresh cluster; `user:password@host:port/database` of an empty database in it.

    Args:
        programs: the folder with `initdb` and `postgres`.
        folder: where the cluster lives.
        sync: whether a commit waits for the disk. If not, one that was confirmed can be lost when the server dies.
    """
    # The server refuses to run as root; Debian's package brings the user for it.
    as_root = os.geteuid() == 0
    user: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if as_root else {}
    home = folder / "postgres"
    home.mkdir()
    password = secrets.token_hex(8)
    (home / "password").write_text(password)
    if as_root:
        folder.chmod(0o755)
        for path in (home, home / "password"):
            shutil.chown(path, "postgres", "postgres")
    options = [f"--pgdata={home / 'data'}", "--username=bench", "--auth=scram-sha-256", f"--pwfile={home / 'password'}"]
    initdb: list[str | Path] = [programs / "initdb", *options, "--encoding=UTF8", "--locale=C"]
    subprocess.run(initdb, cwd=home, capture_output=True, check=True, **user)  # noqa: S603 - the installed PostgreSQL
    port = free_port()
    settings = [f"listen_addresses={HOST}", f"port={port}", "unix_socket_directories=", "max_connections=200"]
    settings += ["shared_buffers=1GB", f"synchronous_commit={'on' if sync else 'off'}"]
    command: list[str | Path] = [
        programs / "postgres",
        "-D",
        home / "data",
        *(word for one in settings for word in ("-c", one)),
    ]
    with running(command, says("ready to accept connections"), folder=folder, as_user="postgres"):
        yield f"bench:{password}@{HOST}:{port}/postgres"
