"""The service that the browser sees: real processes over a year of prices with known gaps."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import asyncpg
from aiohttp import ClientConnectionError

from app.core.settings import Settings
from app.simulator import Exchange, ExchangeOptions, index_prices
from app.supervisor.ports import free_port
from tests.api.client import open_api_client
from tests.api.test_health import send_heartbeats
from tests.processes import Process, Processes
from tests.repositories.rows import add_recording
from tests.waiting import until

MINUTE = 60
HOUR = 3600
DAY = 86400
DAYS_OF_HISTORY = 340
DAYS_BY_MINUTE = 30
DAYS_OF_OTHER_TICKER = 8
GAP_REASON = "chart_too_coarse"
_INSERT = """
INSERT INTO prices (exchange, ticker, timestamp, price, observed_us, source, created_at)
SELECT 'deribit', $1, slot, price, slot * 1000000, $2, to_timestamp(slot)
FROM unnest($3::bigint[], $4::numeric[]) AS rows (slot, price)
ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True)
class History:
    """Where the prices and the gaps of `btc_usd` lie, in UNIX seconds.

    It was recorded each hour at first, and each minute since: a year of minutes takes half a minute
    to store.
    """

    now: int

    @property
    def hourly(self) -> range:
        start = self._midnight - DAYS_OF_HISTORY * DAY
        return range(start, self._midnight - DAYS_BY_MINUTE * DAY, HOUR)

    @property
    def by_minute(self) -> range:
        return range(self.hourly.stop, self.now, MINUTE)

    @property
    def removed_hour(self) -> range:
        """The slots of an hour without prices, which the exchange can't give any more."""
        start = self.now // HOUR * HOUR - 9 * HOUR
        return range(start, start + HOUR, MINUTE)

    @property
    def repaired_hour(self) -> range:
        start = self._midnight - 12 * DAY
        return range(start, start + HOUR, MINUTE)

    @property
    def lost_days(self) -> range:
        """The slots of two days without prices, which only a requested repair asks for."""
        start = self._midnight - 60 * DAY
        return range(start, start + 2 * DAY, HOUR)

    @property
    def _midnight(self) -> int:
        return self.now // DAY * DAY


@dataclass(frozen=True)
class Service:
    """A running service, and what a test does to it."""

    url: str
    settings: Settings
    sql: asyncpg.Connection
    exchange: Exchange
    processes: Processes
    api_process: Process

    async def commit_price(self, ticker: str, slot: int, price: str) -> None:
        """Store one live price, as a collector would."""
        await insert_prices(self.sql, ticker, [slot], [Decimal(price)])

    async def catch_up(self, stop: float | None = None) -> None:
        """Store every price until now, or before another time, and send heartbeats."""
        for ticker in ("btc_usd", "eth_usd"):
            newest = await self.sql.fetchval(
                "SELECT max(timestamp) FROM prices WHERE ticker = $1", ticker
            )
            slots = range(newest + MINUTE, int(stop or time.time() + 1), MINUTE)
            await _store_from_index(self.sql, ticker, slots)
        await asyncio.to_thread(send_heartbeats, self.settings)


async def insert_prices(
    sql: asyncpg.Connection,
    ticker: str,
    slots: Iterable[int],
    prices: Iterable[Decimal],
    source: str = "live",
) -> None:
    await sql.execute(_INSERT, ticker, source, list(slots), list(prices))


async def store_history(sql: asyncpg.Connection) -> History:
    """Store a year of one ticker with gaps, and three days of another one."""
    history = History(int(time.time()) // MINUTE * MINUTE)
    await _store_year(sql, history)
    recent = range(history.now - DAYS_OF_OTHER_TICKER * DAY, history.now, MINUTE)
    await add_recording(sql, recent.start, ticker="eth_usd")
    await _store_from_index(sql, "eth_usd", recent)
    await sql.execute("ANALYZE")
    return history


async def _store_year(sql: asyncpg.Connection, history: History) -> None:
    hourly, by_minute, removed = history.hourly, history.by_minute, history.removed_hour
    await add_recording(sql, hourly.start, hourly.stop - HOUR, HOUR)
    await add_recording(sql, by_minute.start)
    await _store_from_index(sql, "btc_usd", history.repaired_hour, "backfill")
    stored = [
        slot
        for slot in (*hourly, *by_minute)
        if slot not in removed and slot not in history.lost_days
    ]
    await _store_from_index(sql, "btc_usd", stored)
    await sql.execute(
        "INSERT INTO unfillable (exchange, ticker, first_slot, last_slot, interval_seconds, reason)"
        " VALUES ('deribit', 'btc_usd', $1, $2, 60, $3)",
        removed.start,
        removed.stop - MINUTE,
        GAP_REASON,
    )


async def _store_from_index(
    sql: asyncpg.Connection, ticker: str, slots: Iterable[int], source: str = "live"
) -> None:
    chosen = list(slots)
    await insert_prices(sql, ticker, chosen, index_prices(ticker, chosen), source)


@asynccontextmanager
async def running_service(
    settings: Settings, sql: asyncpg.Connection, directory: Path
) -> AsyncIterator[Service]:
    """Run the API and the exchange; prices come from the test, or from a worker that it starts."""
    async with Exchange(ExchangeOptions(any_index=True)) as exchange:
        port = free_port()
        own = {"deribit_base_url": exchange.api_url, "api_port": port}
        used = settings.model_copy(update=own)
        with Processes(used, directory) as processes:
            service = Service(
                f"http://127.0.0.1:{port}",
                used,
                sql,
                exchange,
                processes,
                processes.start("app", "api"),
            )
            await until_it_answers(service.url)
            yield service


async def until_it_answers(url: str) -> None:
    """Wait until an API answers."""

    async def answers() -> bool:
        with suppress(ClientConnectionError):
            async with open_api_client(url) as api:
                return (await api.get("/health/live")).status == 200
        return False

    await until(answers, 60)


def iso(seconds: int) -> str:
    """Write a time as the page's address does."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
