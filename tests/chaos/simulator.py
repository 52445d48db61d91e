"""The simulated exchange in a process of its own: controlling it, and reading its history."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp

from tests.chaos.oracle import MICROSECONDS, ExchangeHistory, Observation
from tests.processes import Process, Processes
from tests.waiting import until

TICKERS = ("btc_usd", "eth_usd")
CHART = "get_index_chart_data"
MILLISECONDS = 1_000


class Simulator:
    """A client of the simulated exchange: of its control API and of its public one."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    @property
    def api_url(self) -> str:
        return f"{self.url}/api/v2"

    async def add_fault(self, kind: str, **details: object) -> None:
        """Activate a fault."""
        await self._control("POST", "faults", {"kind": kind, **details})

    async def set_clock_offset(self, seconds: float) -> None:
        """Set how far the exchange's clock is ahead of the machine's."""
        await self._control("PUT", "clock", {"offset_ms": seconds * MILLISECONDS})

    async def set_delay(self, seconds: float) -> None:
        """Delay every answer."""
        await self._control("PUT", "delay", {"fixed_ms": seconds * MILLISECONDS})

    async def has_requests_in_flight(self) -> bool:
        """Tell whether any client is waiting for an answer."""
        summary = await self._control("GET", "requests/summary")
        return bool(summary["in_flight"])

    async def is_idle(self) -> bool:
        """Tell whether no client is waiting for an answer."""
        return not await self.has_requests_in_flight()

    async def has_no_fault(self) -> bool:
        """Tell whether it accepts connections and no fault is active."""
        try:
            return not await self._control("GET", "faults")
        except aiohttp.ClientConnectionError:
            return False

    async def count_requests(self) -> int:
        """Count the requests of any kind from any client."""
        summary = await self._control("GET", "requests/summary")
        return int(sum(summary["by_method"].values()))

    async def count_chart_requests(self) -> int:
        """Count the chart requests from any client."""
        summary = await self._control("GET", "requests/summary")
        return int(summary["by_method"].get(CHART, 0))

    async def history(self) -> ExchangeHistory:
        """Return every answer that the exchange has sent, and its chart of the last hour."""
        now = await self._call("get_time")
        record = await self._control("GET", "requests")
        assert not record["overflowed"]
        charts = {ticker: await self._chart(ticker) for ticker in TICKERS}
        return ExchangeHistory(
            now_us=now * MILLISECONDS,
            answers=frozenset(_answers(record["requests"])),
            points=frozenset(_points(charts)),
        )

    async def _chart(self, ticker: str) -> Any:  # noqa: ANN401  # JSON
        return await self._call(CHART, index_name=ticker, range="1h")

    async def _call(self, method: str, **params: str) -> Any:  # noqa: ANN401  # JSON
        answer = await self._json("GET", f"{self.api_url}/public/{method}", params=params)
        return answer["result"]

    async def _control(self, verb: str, path: str, body: object = None) -> Any:  # noqa: ANN401  # JSON
        return await self._json(verb, f"{self.url}/control/{path}", json=body)

    async def _json(self, verb: str, url: str, **options: Any) -> Any:  # noqa: ANN401  # JSON
        async with self._session.request(verb, url, **options) as response:
            response.raise_for_status()
            return json.loads(await response.text(), parse_float=Decimal)


@asynccontextmanager
async def running_simulator(processes: Processes) -> AsyncIterator[Simulator]:
    """Run the simulator without a limit on the number of requests."""
    process = processes.start("app", "exchange")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        await until(lambda: _is_listening(process))
        yield Simulator(process.output.split("listening on ")[1].strip(), session)


async def _is_listening(process: Process) -> bool:
    return process.output.endswith("\n")


def _answers(requests: list[dict[str, Any]]) -> Iterator[Observation]:
    """Yield the prices of requests that no fault changed."""
    for request in requests:
        if request["price"] is not None and request["fault"] is None:
            price = Decimal(request["price"])
            yield Observation(request["index"], request["us_out"], price, "live")


def _points(charts: dict[str, list[tuple[int, Decimal]]]) -> Iterator[Observation]:
    for ticker, points in charts.items():
        for stamp_ms, mean in points:
            observed_us = stamp_ms * MICROSECONDS // MILLISECONDS
            yield Observation(ticker, observed_us, Decimal(mean), "backfill")
