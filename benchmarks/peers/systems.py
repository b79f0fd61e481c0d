"""What is compared: how each system is started, tuned and asked, and what it promises when power fails."""

import json
import os
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import environments
from processes import HOST, free_port, listens, nats_server, postgres, redis_server, running, says

from leadplan_cli.local.nats_server import nats_server_program

_HERE = Path(__file__).parent
_CORES = os.cpu_count() or 1

SYNCED = "synced to the disk before it counts"
WRITTEN = "written to the file, synced later"


@dataclass(frozen=True)
class Load:
    """The command that drives a system which runs, without its durations."""

    command: tuple[str, ...]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class System:
    """One row of the comparison.

    Attributes:
        name: what the table calls it; `--only` takes its beginning.
        requirements: the file of `requirements/` that its environment is made from; empty for leadplan.
        durability: `SYNCED` or `WRITTEN`: leadplan under the same promise is what it is compared with.
        setting: the setting behind that, and where the steps run.
        in_flight: how many workflows at once the throughput is measured with; the best counts.
        start: starts it with its data in a folder.
    """

    name: str
    requirements: str
    durability: str
    setting: str
    in_flight: tuple[int, ...]
    start: Callable[[Path], AbstractContextManager[Load]]


def _load(python: Path, script: str, *arguments: str, **environment: str) -> Load:
    return Load((str(python), str(_HERE / script), *arguments), environment)


@contextmanager
def _leadplan(folder: Path, *, sync_always: bool) -> Iterator[Load]:
    python = Path(sys.executable)
    with ExitStack() as stack:
        url = stack.enter_context(nats_server(Path(nats_server_program()), folder, sync_always=sync_always))
        environment = {"NATS_URL": url}
        executor: list[str | Path] = [
            python,
            "-c",
            "from leadplan_executor.service import run; raise SystemExit(run())",
        ]
        stack.enter_context(running(executor, says('"serving"'), folder=folder, environment=environment))
        tool: list[str | Path] = [python, _HERE / "leadplan_work.py", "tool"]
        stack.enter_context(running(tool, says("serving"), folder=folder, environment=environment))
        yield _load(python, "leadplan_work.py", "load", NATS_URL=url)


# From "Serving" in Restate's documentation of its Python SDK, but for the number of workers.
_HYPERCORN = """\
bind = "{host}:{port}"
h2_max_concurrent_streams = 2147483647
keep_alive_max_requests = 2147483647
keep_alive_timeout = 2147483647
workers = 1
worker_class = "uvloop"
"""


@contextmanager
def _restate(folder: Path, *, handler: str) -> Iterator[Load]:
    server, python = environments.restate_server(), environments.python_of("restate")
    node, admin, ingress = free_port(), free_port(), free_port()
    settings = {
        "RESTATE_BASE_DIR": str(folder / "restate"),
        "RESTATE_LISTEN_MODE": "tcp",
        "RESTATE_BIND_IP": HOST,
        "RESTATE_BIND_PORT": str(node),
        "RESTATE_ADVERTISED_ADDRESS": f"http://{HOST}:{node}",
        "RESTATE_ADMIN__BIND_PORT": str(admin),
        "RESTATE_INGRESS__BIND_PORT": str(ingress),
        "RESTATE_DISABLE_TELEMETRY": "true",
        "RESTATE_LOG_FILTER": "warn",
    }
    with ExitStack() as stack:
        stack.enter_context(running([server], listens(ingress), folder=folder, environment=settings))
        for app in ("tools", "plans"):
            port = free_port()
            config = folder / f"{app}.toml"
            config.write_text(_HYPERCORN.format(host=HOST, port=port))
            command: list[str | Path] = [python, "-m", "hypercorn", "--config", config, f"restate_work:{app}"]
            where = {"PYTHONPATH": str(_HERE)}
            stack.enter_context(running(command, listens(port), folder=folder, environment=where))
            _register(admin, f"http://{HOST}:{port}")
        yield _load(python, "restate_work.py", RESTATE_INGRESS=f"http://{HOST}:{ingress}", RESTATE_HANDLER=handler)


def _register(admin: int, uri: str) -> None:
    """Tell Restate where a service lives."""
    body = json.dumps({"uri": uri}).encode()
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"http://{HOST}:{admin}/deployments", data=body, headers=headers)
    urllib.request.urlopen(request, timeout=30).close()  # noqa: S310 - http on this machine


@contextmanager
def _dbos(folder: Path, *, sync: bool) -> Iterator[Load]:
    programs, python = environments.postgres_programs(), environments.python_of("dbos")
    with postgres(programs, folder, sync=sync) as database:
        yield _load(python, "dbos_work.py", DBOS_DATABASE=f"postgresql+psycopg://{database}")


@contextmanager
def _celery(folder: Path) -> Iterator[Load]:
    program, python = environments.redis_server(), environments.python_of("celery")
    with redis_server(program, folder) as url:
        environment = {"CELERY_REDIS": url, "PYTHONPATH": str(_HERE)}
        options = ["--pool", "solo", "--without-gossip", "--without-mingle", "--without-heartbeat"]
        command: list[str | Path] = [python, "-m", "celery", "-A", "celery_work", "worker", *options]
        with running([*command, "--loglevel", "INFO"], says(" ready."), folder=folder, environment=environment):
            yield _load(python, "celery_work.py", CELERY_REDIS=url)


@contextmanager
def _prefect(folder: Path) -> Iterator[Load]:
    programs, python = environments.postgres_programs(), environments.python_of("prefect")
    port = free_port()
    with postgres(programs, folder, sync=True) as database:
        environment = {
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://{database}",
            "PREFECT_API_URL": f"http://{HOST}:{port}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_LOGGING_LEVEL": "ERROR",
            "PREFECT_LOGGING_TO_API_ENABLED": "false",
        }
        options = ["server", "start", "--host", HOST, "--port", str(port), "--no-ui"]
        command: list[str | Path] = [python, "-m", "prefect", *options]
        with running(command, listens(port), folder=folder, environment=environment):
            yield _load(python, "prefect_work.py", **environment)


@contextmanager
def _taskiq(folder: Path) -> Iterator[Load]:
    python = environments.python_of("taskiq")
    with nats_server(Path(nats_server_program()), folder, sync_always=False) as url:
        environment = {"NATS_URL": url, "PYTHONPATH": str(_HERE)}
        options = ["--workers", str(_CORES), "--max-async-tasks", "256", "--no-parse", "--log-level", "INFO"]
        command: list[str | Path] = [python, "-m", "taskiq", "worker", "taskiq_work:broker", *options]
        with running(command, says("Listening started"), folder=folder, environment=environment):
            yield _load(python, "taskiq_work.py", **environment)


_OWN_PROCESS = "steps run in their own process"
_SAME_PROCESS = "steps run in the workflow's process"

SYSTEMS = (
    System("leadplan", "", WRITTEN, f"NATS default; {_OWN_PROCESS}", (64, 256), partial(_leadplan, sync_always=False)),
    System(
        "leadplan, synced",
        "",
        SYNCED,
        f"NATS sync_interval: always; {_OWN_PROCESS}",
        (64, 256),
        partial(_leadplan, sync_always=True),
    ),
    System(
        "Restate",
        "restate",
        SYNCED,
        f"default; {_OWN_PROCESS}",
        (16, 64),
        partial(_restate, handler="chain"),
    ),
    System(
        "Restate, steps inside",
        "restate",
        SYNCED,
        f"default; {_SAME_PROCESS}",
        (16, 64),
        partial(_restate, handler="chain_inside"),
    ),
    System("DBOS", "dbos", SYNCED, f"PostgreSQL default; {_SAME_PROCESS}", (16, 64), partial(_dbos, sync=True)),
    System(
        "DBOS, not synced",
        "dbos",
        WRITTEN,
        f"PostgreSQL synchronous_commit = off; {_SAME_PROCESS}",
        (16, 64),
        partial(_dbos, sync=False),
    ),
    System("Celery", "celery", WRITTEN, f"Redis appendfsync everysec; {_OWN_PROCESS}", (16, 64), _celery),
    System("taskiq", "taskiq", WRITTEN, f"NATS default; {_OWN_PROCESS}", (16, 64), _taskiq),
    System("Prefect", "prefect", SYNCED, f"PostgreSQL default; {_SAME_PROCESS}", (4, 16), _prefect),
)
