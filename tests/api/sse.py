"""A reader of Server-Sent Events, as the standard defines them."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientResponse, ClientSession, ClientTimeout


@dataclass(frozen=True, slots=True)
class Event:
    """A dispatched event; `data` is as it was sent."""

    name: str
    data: str

    @property
    def json(self) -> Any:  # noqa: ANN401  # whatever was sent
        return json.loads(self.data)

    @property
    def row(self) -> tuple[str, int]:
        return self.json["ticker"], self.json["timestamp"]


class EventReader:
    """Reads the events of one response; `last_id` is what a browser would send next time."""

    def __init__(self, response: ClientResponse, last_id: str = "") -> None:
        self.response = response
        self.last_id = last_id

    async def next(self) -> Event | None:
        """Return the next event; None at the end of the stream."""
        fields: dict[str, str] = {}
        while line := (await self.response.content.readline()).decode():
            if line == "\n":
                self.last_id = fields.pop("id", self.last_id)
                if "data" in fields:
                    return Event(fields["event"], fields["data"])
                fields = {}
                continue
            name, _, value = line.rstrip("\n").partition(": ")
            fields[name] = value
        return None

    async def take(self, count: int) -> list[Event]:
        """Return so many events, which must come."""
        events = [await self.next() for _ in range(count)]
        assert None not in events
        return [event for event in events if event is not None]


@asynccontextmanager
async def open_stream(
    url: str,
    query: str = "ticker=btc_usd&ticker=eth_usd",
    last_id: str = "",
    read_bufsize: int = 2**16,
) -> AsyncIterator[EventReader]:
    """Open a stream, and wait until it has begun; `read_bufsize` is how far the client reads on."""
    headers = {"Last-Event-ID": last_id} if last_id else {}
    timeout = ClientTimeout(total=None, sock_read=60)
    async with (
        ClientSession(timeout=timeout, read_bufsize=read_bufsize) as session,
        session.get(f"{url}/api/v1/prices/stream?{query}", headers=headers) as response,
    ):
        assert response.status == 200, await response.text()
        assert await response.content.readline() == b"retry: 3000\n"
        assert await response.content.readline() == b"\n"
        yield EventReader(response, last_id)
