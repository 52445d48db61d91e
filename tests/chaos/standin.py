"""The stand-in exchange as a process of its own: its levers, and what it testifies."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp

from tests.chaos.truth import MICROSECONDS, Evidence, Given
from tests.processes import Process, Processes
from tests.waiting import until

TICKERS = ("btc_usd", "eth_usd")
CHART = "get_index_chart_data"
MILLISECONDS = 1_000


class StandIn:
    """Speaks to the exchange's control API, and to its public one as any client would."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    @property
    def api_url(self) -> str:
        return f"{self.url}/api/v2"

    async def misbehave(self, kind: str, **details: object) -> None:
        """Put a fault in force."""
        await self._order("POST", "faults", {"kind": kind, **details})

    async def move_clock(self, seconds: float) -> None:
        """Set the exchange's clock so far from the machine's."""
        await self._order("PUT", "clock", {"offset_ms": seconds * MILLISECONDS})

    async def hesitate(self, seconds: float) -> None:
        """Let every answer wait."""
        await self._order("PUT", "delay", {"fixed_ms": seconds * MILLISECONDS})

    async def is_asked(self) -> bool:
        """Tell whether someone waits for an answer at this moment."""
        summary = await self._order("GET", "requests/summary")
        return bool(summary["in_flight"])

    async def is_idle(self) -> bool:
        """Tell whether nobody does."""
        return not await self.is_asked()

    async def is_well(self) -> bool:
        """Tell whether it takes connections, and no fault is in force."""
        try:
            return not await self._order("GET", "faults")
        except aiohttp.ClientConnectionError:
            return False

    async def requests_seen(self) -> int:
        """Count the questions of any kind, whoever asked them."""
        summary = await self._order("GET", "requests/summary")
        return int(sum(summary["by_method"].values()))

    async def charts_asked(self) -> int:
        """Count the questions for the chart, whoever asked them."""
        summary = await self._order("GET", "requests/summary")
        return int(summary["by_method"].get(CHART, 0))

    async def evidence(self) -> Evidence:
        """Give all that the exchange says: what it answered so far, and its chart of an hour."""
        now = await self._ask("get_time")
        record = await self._order("GET", "requests")
        assert not record["overflowed"]
        charts = {ticker: await self._chart(ticker) for ticker in TICKERS}
        return Evidence(
            now_us=now * MILLISECONDS,
            answers=frozenset(_answers(record["requests"])),
            points=frozenset(_points(charts)),
        )

    async def _chart(self, ticker: str) -> Any:  # noqa: ANN401  # JSON
        return await self._ask(CHART, index_name=ticker, range="1h")

    async def _ask(self, method: str, **params: str) -> Any:  # noqa: ANN401  # JSON
        answer = await self._json("GET", f"{self.api_url}/public/{method}", params=params)
        return answer["result"]

    async def _order(self, verb: str, path: str, body: object = None) -> Any:  # noqa: ANN401  # JSON
        return await self._json(verb, f"{self.url}/control/{path}", json=body)

    async def _json(self, verb: str, url: str, **more: Any) -> Any:  # noqa: ANN401  # JSON
        async with self._session.request(verb, url, **more) as response:
            response.raise_for_status()
            return json.loads(await response.text(), parse_float=Decimal)


@asynccontextmanager
async def stand_in(processes: Processes) -> AsyncIterator[StandIn]:
    """Run a stand-in that any number of requests can't exhaust."""
    process = processes.start("app", "exchange")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        await until(lambda: _listens(process))
        yield StandIn(process.output.split("listening on ")[1].strip(), session)


async def _listens(process: Process) -> bool:
    return process.output.endswith("\n")


def _answers(requests: list[dict[str, Any]]) -> Iterator[Given]:
    """Read the answers that no fault spoiled."""
    for request in requests:
        if request["price"] is not None and request["fault"] is None:
            price = Decimal(request["price"])
            yield Given(request["index"], request["us_out"], price, "live")


def _points(charts: dict[str, list[tuple[int, Decimal]]]) -> Iterator[Given]:
    for ticker, points in charts.items():
        for stamp_ms, mean in points:
            observed_us = stamp_ms * MICROSECONDS // MILLISECONDS
            yield Given(ticker, observed_us, Decimal(mean), "backfill")
