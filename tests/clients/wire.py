"""Real peers on sockets: a server that says given bytes, and a proxy that asks for a login."""

import asyncio
import json
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

PRICE = b"60123.45"


def envelope(price: bytes = PRICE, **members: object) -> bytes:
    """Write a good answer to get_index_price with this price; None drops a member."""
    known: dict[str, object] = {
        "jsonrpc": "2.0",
        "result": {"index_price": "PRICE"},
        "usIn": 1_768_579_260_000_000,
        "usOut": 1_768_579_260_000_100,
        "usDiff": 100,
        "testnet": False,
        **members,
    }
    text = json.dumps({name: value for name, value in known.items() if value is not None})
    return text.encode().replace(b'"PRICE"', price)


def http(body: bytes, status: int = 200, **headers: str) -> bytes:
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
class Peer:
    """A server on a free port that remembers the heads of the requests it got."""

    port: int = 0
    connections: int = 0
    heads: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError

    @asynccontextmanager
    async def listening(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["Peer"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self.talk(reader, writer)
        except ConnectionError:
            pass  # the client has gone
        finally:
            writer.close()


@dataclass(slots=True)
class Speaker(Peer):
    """Says the same bytes to every request; closes the connection where `hangs_up`."""

    answer: bytes = b""
    hangs_up: bool = False

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await read_head(reader):
            self.heads.append(head)
            writer.write(self.answer)
            await writer.drain()
            if self.hangs_up:
                return


@dataclass(slots=True)
class ProxyServer(Peer):
    """An HTTP proxy; with a login it admits nobody else."""

    login: str | None = None
    refusal: int | None = None

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await read_head(reader):
            self.heads.append(head)
            if not self._admits(head):
                writer.write(http(b"", 407, Proxy_Authenticate="Basic"))
            elif self.refusal is not None:
                writer.write(http(b"", self.refusal))
            else:
                await _pass_on(head, reader, writer)
                return

    def _admits(self, head: str) -> bool:
        if self.login is None:
            return True
        expected = b64encode(self.login.encode()).decode()
        return f"Proxy-Authorization: Basic {expected}\r\n" in head


async def _pass_on(head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    method, target, _ = head.split("\r\n", 1)[0].split(" ")
    place, _, path = target.removeprefix("http://").partition("/")
    host, _, port = place.partition(":")
    onwards, there = await asyncio.open_connection(host, int(port))
    if method == "CONNECT":
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    else:
        there.write(_without_proxy_headers(head, path).encode())
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(pour(reader, there))
            group.create_task(pour(onwards, writer))
    finally:
        there.close()


def _without_proxy_headers(head: str, path: str) -> str:
    first, *headers = head.removesuffix("\r\n\r\n").split("\r\n")
    kept = [line for line in headers if not line.lower().startswith("proxy-")]
    return "\r\n".join([f"{first.split(' ')[0]} /{path} HTTP/1.1", *kept, "", ""])


async def pour(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
    except ConnectionError:
        pass  # the other side has gone
    sink.close()
