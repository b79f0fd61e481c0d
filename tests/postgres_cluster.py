"""A PostgreSQL cluster for a session of tests: made anew, on a free port, fast because it may lose everything."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

# Debian puts the server's programs on nobody's PATH.
_DEBIAN_PROGRAMS = Path("/usr/lib/postgresql")
_START_SECONDS = 30
_ATTEMPTS_TO_START = 3
_FAST = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "autovacuum=off", "max_connections=60")


def postgres_programs() -> Path | None:
    """The folder that holds `initdb` and `postgres`, the newest version of them; None where there is none."""
    on_path = shutil.which("initdb")
    candidates = [Path(on_path).resolve().parent] if on_path else []
    if _DEBIAN_PROGRAMS.is_dir():
        versions = [folder for folder in _DEBIAN_PROGRAMS.iterdir() if folder.name.isdigit()]
        candidates += [folder / "bin" for folder in sorted(versions, key=lambda folder: -int(folder.name))]
    return next((folder for folder in candidates if (folder / "postgres").exists()), None)


class PostgresCluster:
    """A running cluster with a superuser ``tester`` whose password is random."""

    user = "tester"

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-of-tests-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.password = secrets.token_hex(8)
        self.port = 0
        # The server refuses to run as root; Debian's package brings the user for it.
        self._as_user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        if self._as_user:
            shutil.chown(self._folder, "postgres", "postgres")

    def start(self) -> None:
        password_file = self._folder / "password"
        password_file.write_text(self.password)
        password_file.chmod(0o644)  # inside a folder that only the cluster's user may enter
        options = ["--auth=scram-sha-256", f"--username={self.user}", f"--pwfile={password_file}", "--no-sync"]
        initdb = [self._programs / "initdb", *options, "--encoding=UTF8", "--locale=C", f"--pgdata={self._data}"]
        done = subprocess.run(initdb, cwd=self._folder, capture_output=True, text=True, check=False, **self._as_user)
        if done.returncode:
            raise RuntimeError(f"initdb failed: {done.stderr}")
        if not any(self._started_on_a_free_port() for _ in range(_ATTEMPTS_TO_START)):
            raise RuntimeError(f"postgres didn't start: {self._log.read_text()[-2000:]}")

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    def _started_on_a_free_port(self) -> bool:
        """Whether the server listens. Another process may take the port first: then not."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        settings = (*_FAST, "listen_addresses=127.0.0.1", "unix_socket_directories=", f"port={self.port}")
        command = [self._programs / "postgres", "-D", self._data, *(word for one in settings for word in ("-c", one))]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._as_user
            )
        deadline = time.monotonic() + _START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url("postgres", driver="")):
                return True
            time.sleep(0.02)
        return False

    def url(self, database: str, *, driver: str = "+psycopg") -> str:
        return f"postgresql{driver}://{self.user}:{self.password}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str) -> None:
        """Run a statement that no transaction may hold, in the maintenance database."""
        with psycopg.connect(self.url("postgres", driver=""), autocommit=True) as connection:
            connection.execute(statement)

    @contextlib.contextmanager
    def fresh_database(self, *, like: str = "template0") -> Iterator[str]:
        """The URL of a database, empty or ``like`` another one, which is dropped at the end whoever still uses it."""
        name = f"test_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {like}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def stop(self) -> None:
        """End the server at once, without a checkpoint, and remove its data."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)
        shutil.rmtree(self._folder, ignore_errors=True)
