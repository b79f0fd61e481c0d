"""A forward proxy that ends TLS: it sees the requests of a process to real hosts byte for byte, and answers them.

A process trusts it through ``SSL_CERT_FILE`` and uses it through ``HTTPS_PROXY``; nothing in the process knows of it.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import httpx
import trustme

_HEAD_END = b"\r\n\r\n"
_PIECE = 65_536


@dataclass(frozen=True)
class RecordedRequest:
    """One request as it left the process.

    Attributes:
        host: where the process wanted to go.
        target: path and query, still encoded.
        headers: in their order, as they were spelt.
        raw: every byte of it.
    """

    host: str
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    raw: bytes = b""


Answering = Callable[[RecordedRequest], Awaitable[httpx.Response]]


class RecordingProxy:
    """Made by ``recording_proxy``.

    Attributes:
        environment: what a process needs to come through here.
        requests: what it sent, oldest first.
        refused: hosts that it wanted and that nobody answers for.
    """

    def __init__(self, hosts: Collection[str], answering: Answering, ca_file: Path) -> None:
        self.requests: list[RecordedRequest] = []
        self.refused: list[str] = []
        self.environment: dict[str, str] = {}
        self._answering = answering
        self._ca_file = ca_file
        self._hosts = hosts
        self._ports: dict[str, int] = {}
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self._ca_file)
        for host in self._hosts:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(host).configure_cert(context)
            self._ports[host] = await self._listen(self._end_of(host), context)
        port = await self._listen(self._tunnel)
        self.environment = {"HTTPS_PROXY": f"http://127.0.0.1:{port}", "SSL_CERT_FILE": str(self._ca_file)}

    async def stop(self) -> None:
        for server in self._servers:
            server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _listen(
        self,
        serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
        context: ssl.SSLContext | None = None,
    ) -> int:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
            # A client may go at any moment.
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await serve(reader, writer)
            writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
        self._servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one CONNECT, and hand its bytes to and from the end for its host."""
        head = await reader.readuntil(_HEAD_END)
        method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
        host, _, port = target.partition(":")
        if method != "CONNECT" or port != "443" or host not in self._ports:
            self.refused.append(target)
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return
        end_reader, end_writer = await asyncio.open_connection("127.0.0.1", self._ports[host])
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await asyncio.gather(_pump(reader, end_writer), _pump(end_reader, writer))
        finally:
            end_writer.close()

    def _end_of(self, host: str) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                request = await _read_request(host, reader)
                self.requests.append(request)
                writer.write(_as_bytes(await self._answering(request)))
                await writer.drain()

        return serve


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(_PIECE):
        writer.write(piece)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def _read_request(host: str, reader: asyncio.StreamReader) -> RecordedRequest:
    head = await reader.readuntil(_HEAD_END)
    first, *lines = head.removesuffix(_HEAD_END).decode("ascii").split("\r\n")
    method, target, version = first.split(" ")
    assert version == "HTTP/1.1"
    headers = tuple((name, value) for name, _, value in (line.partition(": ") for line in lines))
    lower = {name.lower(): value for name, value in headers}
    assert "transfer-encoding" not in lower, "a body of unknown length can't be read here"
    body = await reader.readexactly(int(lower.get("content-length", "0")))
    return RecordedRequest(host, method, target, headers, body, head + body)


def _as_bytes(answer: httpx.Response) -> bytes:
    lines = [f"HTTP/1.1 {answer.status_code} {answer.reason_phrase}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items() if name.lower() != "content-length"]
    lines += [f"content-length: {len(answer.content)}", "", ""]
    return "\r\n".join(lines).encode() + answer.content


def answering_with(app: httpx.ASGITransport) -> Answering:
    """Answer with an application in this process that has the same paths as the real hosts."""

    async def answer(request: RecordedRequest) -> httpx.Response:
        # The transport alone: a client would add headers, and decode what it gets.
        url = f"https://{request.host}{request.target}"
        response = await app.handle_async_request(
            httpx.Request(request.method, url, headers=list(request.headers), content=request.body)
        )
        await response.aread()
        return response

    return answer


@contextlib.asynccontextmanager
async def recording_proxy(hosts: Collection[str], answering: Answering, ca_file: Path) -> AsyncIterator[RecordingProxy]:
    """A running proxy for some hosts. ``ca_file`` is where the certificate goes that processes must trust."""
    proxy = RecordingProxy(hosts, answering, ca_file)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
