"""A client of the simulated exchange, which returns status and JSON of each answer."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

import aiohttp

from app.simulator import Exchange

Json: TypeAlias = Any
"""What a JSON text may turn out to be; the tests say what it must."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Json:
        return json.loads(self.text, parse_float=Decimal)

    @property
    def result(self) -> Json:
        return self.json["result"]

    @property
    def error(self) -> Json:
        return self.json["error"]


@dataclass(frozen=True, slots=True)
class Client:
    """Sends requests to one exchange over HTTP."""

    exchange: Exchange
    session: aiohttp.ClientSession

    async def get(self, method: str, **params: str | int) -> Reply:
        return await self.send("GET", f"/api/v2/public/{method}", params=params)

    async def price(self, index: str = "btc_usd") -> Reply:
        return await self.get("get_index_price", index_name=index)

    async def post(self, path: str, body: object) -> Reply:
        return await self.send("POST", path, body if isinstance(body, str) else json.dumps(body))

    async def control(self, verb: str, path: str, body: object = None) -> Reply:
        return await self.send(verb, f"/control/{path}", None if body is None else json.dumps(body))

    async def send(
        self,
        verb: str,
        path: str,
        data: str | None = None,
        params: Mapping[str, str | int] | None = None,
    ) -> Reply:
        async with self.session.request(
            verb, self.exchange.url + path, data=data, params=params, allow_redirects=False
        ) as response:
            return Reply(response.status, dict(response.headers), await response.text())


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Poll a condition until it holds."""
    async with asyncio.timeout(10):  # no event tells what happens beyond a socket
        while not await condition():  # noqa: ASYNC110  same
            await asyncio.sleep(0.01)
