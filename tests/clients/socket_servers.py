"""Servers on real sockets: one that sends given bytes, and a proxy that requires a login."""

import asyncio
import json
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

PRICE = b"60123.45"


def price_envelope(price: bytes = PRICE, **members: object) -> bytes:
    """Return a valid answer to get_index_price with this price; None drops a member."""
    members_by_name: dict[str, object] = {
        "jsonrpc": "2.0",
        "result": {"index_price": "PRICE"},
        "usIn": 1_768_579_260_000_000,
        "usOut": 1_768_579_260_000_100,
        "usDiff": 100,
        "testnet": False,
        **members,
    }
    text = json.dumps({name: value for name, value in members_by_name.items() if value is not None})
    return text.encode().replace(b'"PRICE"', price)


def http_response(body: bytes, status: int = 200, **headers: str) -> bytes:
    """Write an HTTP answer; a header's underscores become hyphens."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def read_head(reader: asyncio.StreamReader) -> str:
    """Read a request's head; empty when the connection has ended."""
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode()
    except (asyncio.IncompleteReadError, ConnectionError):
        return ""


@dataclass(slots=True)
class SocketServer:
    """A server on a free port that stores the head of each request."""

    port: int = 0
    connections: int = 0
    request_heads: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError

    @asynccontextmanager
    async def listening(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["SocketServer"]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self.handle(reader, writer)
        except ConnectionError:
            pass  # the client has gone
        finally:
            writer.close()


@dataclass(slots=True)
class FixedResponseServer(SocketServer):
    """Sends the same bytes to every request, and may close the connection afterwards."""

    answer: bytes = b""
    closes_connection: bool = False

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await read_head(reader):
            self.request_heads.append(head)
            writer.write(self.answer)
            await writer.drain()
            if self.closes_connection:
                return


@dataclass(slots=True)
class ProxyServer(SocketServer):
    """An HTTP proxy; if it has a login, it refuses requests without it."""

    login: str | None = None
    refusal: int | None = None

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await read_head(reader):
            self.request_heads.append(head)
            if not self._is_authorized(head):
                writer.write(http_response(b"", 407, Proxy_Authenticate="Basic"))
            elif self.refusal is not None:
                writer.write(http_response(b"", self.refusal))
            else:
                await _forward(head, reader, writer)
                return

    def _is_authorized(self, head: str) -> bool:
        if self.login is None:
            return True
        expected = b64encode(self.login.encode()).decode()
        return f"Proxy-Authorization: Basic {expected}\r\n" in head


async def _forward(head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    method, target, _ = head.split("\r\n", 1)[0].split(" ")
    address, _, path = target.removeprefix("http://").partition("/")
    host, _, port = address.partition(":")
    upstream_reader, upstream = await asyncio.open_connection(host, int(port))
    if method == "CONNECT":
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    else:
        upstream.write(_without_proxy_headers(head, path).encode())
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(copy_stream(reader, upstream))
            group.create_task(copy_stream(upstream_reader, writer))
    finally:
        upstream.close()


def _without_proxy_headers(head: str, path: str) -> str:
    first, *headers = head.removesuffix("\r\n\r\n").split("\r\n")
    kept = [line for line in headers if not line.lower().startswith("proxy-")]
    return "\r\n".join([f"{first.split(' ')[0]} /{path} HTTP/1.1", *kept, "", ""])


async def copy_stream(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
    except ConnectionError:
        pass  # the other side has gone
    sink.close()
