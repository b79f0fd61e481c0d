"""Where the nodes of a cluster live, and how they are kept from one another.

Namespaces: each node in a network namespace of its own, joined by a bridge, and cut by routes; they need root and
iproute2. Loopback: all nodes on 127.0.0.1; where one dials another there is a TCP door between them that holds back
what isn't to pass. It needs no privileges. In both nobody is told that nothing passes, and programs reach every node.
"""

import asyncio
import itertools
import shutil
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import NamedTuple

from fault_fleet import free_port

_CLIENT_PORT, _ROUTE_PORT = 4222, 6222
_CHUNK_BYTES = 65536
_PASSAGE_SECONDS = 3


class Place(NamedTuple):
    """Where a node listens and finds the others.

    Attributes:
        host, client_port, route_port: what it listens on.
        others: host and port under which it dials each other node.
        options: more options of its command.
        command_prefix: what its command begins with.
    """

    host: str
    client_port: int
    route_port: int
    others: list[str]
    options: list[str]
    command_prefix: list[str]


class Network(ABC):
    """Somewhere for nodes to live.

    Attributes:
        places: of the nodes, in their order.
    """

    places: list[Place]

    @abstractmethod
    async def open(self) -> None:
        """Let the nodes reach one another."""

    @abstractmethod
    async def close(self) -> None:
        """Remove everything that was made."""

    @abstractmethod
    def mute(self, node: int, towards: int) -> None:
        """Let nothing that one node sends reach another one, though it hears that one."""

    @abstractmethod
    def mend(self) -> None:
        """Let everything pass again."""

    def part(self, node: int, others: Iterable[int]) -> None:
        """Let nothing pass between a node and others, in either direction. Everybody else still reaches them all."""
        for other in others:
            self.mute(node, other)
            self.mute(other, node)


def best_network(nodes: int) -> Network:
    """Namespaces where they can be made, else the loopback address with doors."""
    try:
        return Namespaces(nodes)
    except NoNamespacesError:
        return Loopback(nodes)


class Loopback(Network):
    """All nodes on 127.0.0.1, a door for each that dials another one."""

    def __init__(self, nodes: int) -> None:
        self._passing = {pair: asyncio.Event() for pair in itertools.permutations(range(nodes), 2)}
        self.mend()
        self._doors = {pair: _Door(self._passing[pair], self._passing[pair[::-1]]) for pair in self._passing}
        self.places = []
        for node in range(nodes):
            others = [f"127.0.0.1:{door.port}" for (dialler, _), door in self._doors.items() if dialler == node]
            # Nodes tell one another where the others listen. An address at which nobody answers keeps to the doors.
            options = ["--cluster_advertise", "127.0.0.1:1"]
            self.places.append(Place("127.0.0.1", free_port(), free_port(), others, options, []))

    async def open(self) -> None:
        """Open the doors."""
        for (_, dialled), door in self._doors.items():
            await door.open(self.places[dialled].route_port)

    async def close(self) -> None:
        """Close the doors."""
        for door in self._doors.values():
            await door.close()

    def mute(self, node: int, towards: int) -> None:
        """See there."""
        self._passing[node, towards].clear()

    def mend(self) -> None:
        """See there."""
        for passing in self._passing.values():
            passing.set()


class _Door:
    """A port that leads to another one, and waits in each direction while nothing is to pass there."""

    def __init__(self, there: asyncio.Event, back: asyncio.Event) -> None:
        self._there, self._back = there, back
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def open(self, leads_to: int) -> None:
        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._connect(reader, writer, leads_to), name="door")
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

        self._server = await asyncio.start_server(take, sock=self._listener)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._listener.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, leads_to: int) -> None:
        writers = [writer]
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", leads_to)
            writers.append(far_writer)
            ways = [_carry(reader, far_writer, self._there), _carry(far_reader, writer, self._back)]
            pumps = [asyncio.create_task(way) for way in ways]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            pass  # the node isn't there: the one that dials finds its connection closed
        finally:
            for one in writers:
                one.transport.abort()
            await asyncio.gather(*(one.wait_closed() for one in writers), return_exceptions=True)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passing: asyncio.Event) -> None:
    while data := await reader.read(_CHUNK_BYTES):
        await passing.wait()
        writer.write(data)
        await writer.drain()
    await passing.wait()


class NoNamespacesError(Exception):
    """Network namespaces can't be made here; the text says why."""


class Namespaces(Network):
    """Each node in a network namespace of its own, joined by a bridge with addresses of a private range.

    Raises:
        NoNamespacesError: this needs root, iproute2 and a kernel that allows it. Nothing is left behind.
    """

    def __init__(self, nodes: int) -> None:
        if shutil.which("ip") is None:
            raise NoNamespacesError("iproute2 isn't installed")
        self._number = _claim_a_bridge()
        self.places = []
        try:
            self._ip(f"address add 10.213.{self._number}.254/24 dev {self._bridge}")
            self._ip(f"link set {self._bridge} up")
            for node in range(nodes):
                self._add_node(node, nodes)
            self._require_passage()
        except BaseException:
            self._remove()
            raise

    @property
    def _bridge(self) -> str:
        return _bridge_name(self._number)

    def _namespace(self, node: int) -> str:
        return f"{self._bridge}-{node}"

    def _host(self, node: int) -> str:
        return f"10.213.{self._number}.{node + 1}"

    def _add_node(self, node: int, nodes: int) -> None:
        namespace, outside, host = self._namespace(node), f"{self._bridge}v{node}", self._host(node)
        self._remove_node(node)  # of a process that was killed before it could
        self._ip(f"netns add {namespace}")
        others = [f"{self._host(other)}:{_ROUTE_PORT}" for other in range(nodes) if other != node]
        self.places.append(Place(host, _CLIENT_PORT, _ROUTE_PORT, others, [], ["ip", "netns", "exec", namespace]))
        self._ip(f"link add {outside} type veth peer name eth0 netns {namespace}")
        self._ip(f"link set {outside} master {self._bridge} up")
        self._ip(f"-n {namespace} address add {host}/24 dev eth0")
        self._ip(f"-n {namespace} link set eth0 up")
        self._ip(f"-n {namespace} link set lo up")

    def _require_passage(self) -> None:
        """A firewall may keep bridges from passing anything on. A port that refuses is one that is reached."""
        code = f"import socket; socket.create_connection(('{self._host(0)}', 1), {_PASSAGE_SECONDS})"
        last = self.places[-1]
        asked = subprocess.run([*last.command_prefix, sys.executable, "-c", code], capture_output=True, check=False)
        if b"ConnectionRefusedError" not in asked.stderr:
            raise NoNamespacesError("they can be made, but nothing passes between them")

    async def open(self) -> None:
        """Nothing to do: the namespaces are there, or making them has failed."""

    async def close(self) -> None:
        """Remove everything, whatever of it is there."""
        self._remove()

    def mute(self, node: int, towards: int) -> None:
        """See there."""
        self._ip(f"-n {self._namespace(node)} route replace blackhole {self.places[towards].host}/32")

    def mend(self) -> None:
        """See there."""
        for node in range(len(self.places)):
            _try_ip(f"-n {self._namespace(node)} route flush type blackhole")

    def _remove(self) -> None:
        for node in range(len(self.places)):
            self._remove_node(node)
        _try_ip(f"link delete {self._bridge}")

    def _remove_node(self, node: int) -> None:
        # The kernel keeps a namespace while it sends what a killed process had left; the link needn't wait for that.
        _try_ip(f"link delete {self._bridge}v{node}")
        _try_ip(f"netns delete {self._namespace(node)}")

    @staticmethod
    def _ip(arguments: str) -> None:
        done = _try_ip(arguments)
        if done.returncode != 0:
            raise NoNamespacesError(f"ip {arguments}: {done.stderr.strip()}")


def _claim_a_bridge() -> int:
    """Make the first bridge whose name is free: the kernel lets only one process have each, and its addresses."""
    done = None
    for number in range(200):
        done = _try_ip(f"link add {_bridge_name(number)} type bridge")
        if done.returncode == 0:
            return number
        if "exists" not in done.stderr:
            break
    raise NoNamespacesError(f"can't make a bridge: {done.stderr.strip() if done else ''}")


def _bridge_name(number: int) -> str:
    return f"leadplan{number}"  # with a suffix below 16 characters, the longest name of an interface


def _try_ip(arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["ip", *arguments.split()], capture_output=True, text=True, check=False, timeout=20)
