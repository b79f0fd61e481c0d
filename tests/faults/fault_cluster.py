"""A NATS cluster of three nodes on one machine, started from the configuration in ``deploy/``."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from fault_fleet import Process, free_port, nats_server_program
from fault_network import Network
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import ClusterInfo, StreamInfo

from leadplan_bus.connection import close, connect
from leadplan_contracts import subjects

T = TypeVar("T")
CONFIGURATION = Path(__file__).parent.parent.parent / "deploy" / "nats" / "cluster.conf"
STREAMS = (
    subjects.PLANS_STREAM,
    subjects.PLAN_LOG_STREAM,
    subjects.PLAN_REJECTS_STREAM,
    f"OBJ_{subjects.PLAN_DATA_BUCKET}",
    f"KV_{subjects.TOOL_RESULTS_BUCKET}",
)
_EXECUTORS = f"CONSUMER.{subjects.PLANS_STREAM}.{subjects.EXECUTORS_CONSUMER}"
_ASK_AGAIN_SECONDS = 0.1
_ALONE_SECONDS = 0.5


async def until(holds: Callable[[], Awaitable[bool]], within: float = 30.0) -> None:
    """Wait until something holds.

    Raises:
        TimeoutError: it doesn't in time.
    """
    async with asyncio.timeout(within):
        while True:
            if await holds():
                return
            await asyncio.sleep(_ASK_AGAIN_SECONDS)


class Cluster:
    """Three nodes that keep addresses and data over restarts.

    Attributes:
        network: where they live.
        nodes: their processes by name.
    """

    def __init__(self, folder: Path, network: Network) -> None:
        self.network = network
        self.nodes: dict[str, Process] = {}
        self._urls: dict[str, str] = {}
        self._monitoring: dict[str, str] = {}
        self._nc: Client | None = None
        text = CONFIGURATION.read_text()
        for number, place in enumerate(network.places, 1):
            name = f"nats-{number}"
            configuration, monitoring = folder / f"{name}.conf", free_port()
            configuration.write_text(text.replace('"/data"', f'"{folder / name}"'))
            command = [
                *place.command_prefix, nats_server_program(), "-c", str(configuration), "--name", name,
                "-a", place.host, "-p", str(place.client_port), "-m", str(monitoring),
                "--cluster", f"nats://{place.host}:{place.route_port}",
                "--routes", ",".join(f"nats-route://{other}" for other in place.others), *place.options,
                "-l", str(folder / f"{name}.log"),
            ]  # fmt: skip
            self.nodes[name] = Process(name, command, {}, folder / f"{name}.output")
            self._urls[name] = f"nats://{place.host}:{place.client_port}"
            self._monitoring[name] = f"http://{place.host}:{monitoring}"

    @property
    def url(self) -> str:
        """All addresses, as a program gets them in ``NATS_URL``."""
        return ",".join(self._urls.values())

    def url_of(self, node: str) -> str:
        """The address of one node."""
        return self._urls[node]

    async def monitoring(self, node: str, path: str) -> dict[str, Any]:
        """What a node's monitoring port answers; an error status is an answer too."""

        def ask() -> dict[str, Any]:
            try:
                with urllib.request.urlopen(f"{self._monitoring[node]}/{path}", timeout=5) as response:
                    answer: dict[str, Any] = json.load(response)
            except urllib.error.HTTPError as error:
                with error:
                    answer = json.load(error)
            return answer

        return await asyncio.to_thread(ask)

    async def start(self, *, one_first: bool = False) -> None:
        """Start all nodes and wait until they have agreed on a leader.

        ``one_first`` starts one node a little earlier, which can do nothing alone.
        """
        await self.network.open()
        first, *rest = self.nodes.values()
        first.start()
        self._nc = await connect(self.url, name="cluster control", within_seconds=20)
        if one_first:
            await asyncio.sleep(_ALONE_SECONDS)
        for process in rest:
            process.start()
        await self._answers(self._nc.jetstream(timeout=1).account_info)

    async def stop(self) -> None:
        """End all nodes, and their network."""
        if self._nc is not None:
            await close(self._nc)
        for process in self.nodes.values():
            process.kill()
        await self.network.close()

    def start_missing(self) -> None:
        """Start the nodes that don't run."""
        for process in self.nodes.values():
            if not process.running:
                process.start()

    def part(self, node: str) -> None:
        """Let nothing pass between a node and the others."""
        index = self._index(node)
        self.network.part(index, [other for other in range(len(self.nodes)) if other != index])

    def mute(self, node: str, towards: str) -> None:
        """Let nothing that one node sends reach another one, though it hears that one."""
        self.network.mute(self._index(node), self._index(towards))

    def mend(self) -> None:
        """Let everything pass between the nodes again."""
        self.network.mend()

    def _index(self, node: str) -> int:
        return list(self.nodes).index(node)

    async def leader(self, stream: str) -> str:
        """The node that leads a stream, once there is one."""
        return _leader((await self._stream(stream)).cluster)

    async def consumer_leader(self) -> str:
        """The node that leads the consumer from which the executors pull, once there is one."""
        js = self._control.jetstream(timeout=1)

        async def ask() -> str:
            info = await js.consumer_info(subjects.PLANS_STREAM, subjects.EXECUTORS_CONSUMER)
            return _leader(info.cluster)

        return await self._answers(ask)

    async def step_down(self, what: str, preferred: str | None = None) -> None:
        """Have the leader of ``STREAM.<stream>`` or ``CONSUMER.<stream>.<consumer>`` hand over to another node.

        ``what`` is that part of the API's subject. A leader that doesn't answer, or that there isn't, is no matter.
        """
        kind, _, name = what.partition(".")
        body = json.dumps({"placement": {"preferred": preferred}} if preferred else {}).encode()
        try:
            answer = await self._control.request(f"$JS.API.{kind}.LEADER.STEPDOWN.{name}", body, timeout=2)
        except NatsError:
            return
        problem = json.loads(answer.data).get("error")
        assert problem is None or problem["code"] in (500, 503), problem

    async def let_lead(self, node: str) -> None:
        """Have one node lead every stream, and the executors' consumer."""
        for stream in STREAMS:
            while await self.leader(stream) != node:
                await self.step_down(f"STREAM.{stream}", node)
        while await self.consumer_leader() != node:
            await self.step_down(_EXECUTORS, node)

    async def change_leaders(self, times: int) -> None:
        """Have each stream and the executors' consumer change its leader, again and again."""
        for _ in range(times):
            for what in (*(f"STREAM.{stream}" for stream in STREAMS), _EXECUTORS):
                await self.step_down(what)

    async def caught_up(self) -> None:
        """Wait until every stream has a leader, and each of its replicas all that the leader has."""

        async def all_whole() -> bool:
            return all([_whole((await self._stream(stream)).cluster) for stream in STREAMS])

        await until(all_whole)

    async def _stream(self, stream: str) -> StreamInfo:
        js = self._control.jetstream(timeout=1)

        async def ask() -> StreamInfo:
            info = await js.stream_info(stream)
            _leader(info.cluster)
            return info

        return await self._answers(ask)

    @property
    def _control(self) -> Client:
        assert self._nc is not None
        return self._nc

    @staticmethod
    async def _answers(ask: Callable[[], Awaitable[T]]) -> T:
        async with asyncio.timeout(30):
            while True:
                try:
                    return await ask()
                except (NatsError, _NoLeaderError):
                    await asyncio.sleep(_ASK_AGAIN_SECONDS)


class _NoLeaderError(Exception):
    """Nobody leads at the moment."""


def _leader(cluster: ClusterInfo | None) -> str:
    if cluster is None or not cluster.leader:
        raise _NoLeaderError
    return cluster.leader


def _whole(cluster: ClusterInfo | None) -> bool:
    replicas = (cluster.replicas if cluster else None) or []
    return len(replicas) == 2 and all(one.current and not one.offline and not one.lag for one in replicas)
