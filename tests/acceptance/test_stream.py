"""The stream under fire: readers killed at random, a thousand of them, and the end of a process."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from random import Random

import asyncpg
import pytest
from aiohttp import ClientConnectionError, ClientPayloadError

from app.core.settings import Settings
from app.simulator import Exchange
from app.supervisor.ports import free_port
from tests.api.client import open_api_client
from tests.api.sse import Event, EventReader, open_stream
from tests.processes import Process, Processes
from tests.repositories.rows import add_recording, store
from tests.waiting import until

pytestmark = pytest.mark.accept

INTERVAL = 6
"""The finest step of the exchange's chart, so that a repair can fill every slot."""
HOUR = 3600
KILLS = 100
IMPORTED = 40_000
LIVE_ROWS = 12
STREAMS = 1_000
PRICE = re.compile(r'"price":([0-9.]+),')


@pytest.fixture
async def processes(
    settings: Settings, exchange: Exchange, tmp_path: Path
) -> AsyncIterator[Processes]:
    """Processes of a service whose exchange has the right time."""
    exchange.set_clock()
    fast = settings.model_copy(update={"collect_interval_seconds": INTERVAL})
    with Processes(fast, tmp_path) as started:
        yield started


async def _start_api(processes: Processes, workers: int = 1) -> tuple[Process, str]:
    """Start an API, and wait until it answers; return it and its URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = processes.start(
        "app", "api", env={"API_PORT": str(port), "API_WORKERS": str(workers)}
    )

    async def all_listen() -> bool:
        if process.output.count("Application startup complete") < workers:
            return False
        with suppress(ClientConnectionError):
            async with open_api_client(url) as client:
                return (await client.get("/health/live")).status == 200
        return False

    await until(all_listen, 60)
    return process, url


class KilledReader:
    """A reader that is killed at random moments and comes back to any of several processes."""

    def __init__(self, urls: list[str], last_id: str) -> None:
        self.events: list[Event] = []
        self.kills = 0
        self._urls = urls
        self._last_id = last_id
        self._random = Random(7)  # noqa: S311  # a test's choice

    async def read_until_killed(self, longest_seconds: float) -> None:
        """Read from one of the processes for a while; what arrives while it is killed is lost."""
        url = self._random.choice(self._urls)
        with suppress(TimeoutError, ClientPayloadError):
            async with (
                asyncio.timeout(self._random.uniform(0, longest_seconds)),
                open_stream(url, last_id=self._last_id) as stream,
            ):
                await self._read(stream)
        self.kills += 1

    async def _read(self, stream: EventReader) -> None:
        while (event := await stream.next()) is not None:
            assert event.name in {"price", "repair"}, event
            self.events.append(event)
            self._last_id = stream.last_id

    @property
    def rows(self) -> list[tuple[str, int, str, str]]:
        """What was told, with the digits that were sent."""
        told = []
        for event in self.events:
            price = PRICE.search(event.data)
            assert price is not None
            told.append((*event.row, price[1], event.json["source"]))
        return told


async def _stored_rows(sql: asyncpg.Connection) -> list[tuple[str, int, str, str]]:
    return [
        tuple(row)
        for row in await sql.fetch("SELECT ticker, timestamp, price::text, source FROM prices")
    ]


def _write_import(path: Path) -> None:
    lines = [
        f"deribit,eth_usd,{1_600_000_000 // 60 * 60 + 60 * n},{2000 + n}.0{n % 10}00,import\n"
        for n in range(IMPORTED)
    ]
    path.write_text("exchange,ticker,timestamp,price,source\n" + "".join(lines))


async def _all_sources_are_stored(sql: asyncpg.Connection) -> bool:
    counts = await sql.fetch("SELECT source, count(*) FROM prices GROUP BY 1")
    stored: dict[str, int] = {source: count for source, count in counts}  # noqa: C416  # typed
    return (
        stored.get("import", 0) == IMPORTED
        and stored.get("backfill", 0) > HOUR / INTERVAL
        and stored.get("live", 0) > LIVE_ROWS
    )


async def test_a_reader_killed_a_hundred_times_gets_every_row_once(
    processes: Processes, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    """Live prices, the repair of an hour and an import come meanwhile, through two processes."""
    now = int(time.time()) // INTERVAL * INTERVAL
    for ticker in ("btc_usd", "eth_usd"):
        await add_recording(sql, now - HOUR, interval=INTERVAL, ticker=ticker)
    urls = [(await _start_api(processes))[1] for _ in range(2)]
    async with open_stream(urls[0]) as stream:
        await store(sql, [60], price="1.10")
        first = await stream.take(1)
    reader = KilledReader(urls, stream.last_id)
    reader.events += first
    _write_import(tmp_path / "old.csv")
    writers = [
        processes.worker(),
        processes.beat(),
        processes.start("app", "import", str(tmp_path / "old.csv")),
    ]
    async with open_api_client(urls[1]) as api:
        assert (await api.post("/api/v1/tasks/backfill")).status == 202
    async with asyncio.timeout(240):
        while reader.kills < KILLS or not await _all_sources_are_stored(sql):
            await reader.read_until_killed(1.5)
    for writer in writers:
        assert await asyncio.to_thread(writer.stop) == 0
    expected = await _stored_rows(sql)
    async with asyncio.timeout(60):
        while len(reader.events) < len(expected):
            await reader.read_until_killed(3)
    assert len(reader.rows) == len(set(reader.rows)), "told twice"
    assert set(reader.rows) == set(expected)
    for ticker in ("btc_usd", "eth_usd"):
        live = [row[1] for row in reader.rows if (row[0], row[3]) == (ticker, "live")]
        assert live == sorted(live)


async def test_a_position_two_hours_old_is_reset_and_nothing_is_lost(
    processes: Processes, sql: asyncpg.Connection
) -> None:
    _, url = await _start_api(processes)
    async with open_stream(url, "ticker=btc_usd") as stream:
        await store(sql, [60])
        await stream.take(1)
    await store(sql, [120], source="backfill")
    await sql.execute("UPDATE price_changes SET noted_at = now() - interval '2 hours'")
    aged = _aged(stream.last_id, 2 * HOUR)
    async with open_stream(url, "ticker=btc_usd", aged) as again:
        (reset,) = await again.take(1)
        assert reset == Event(
            "reset", '{"exchange":"deribit","ticker":"btc_usd","from":60,"to":120}'
        )
        await store(sql, [180])
        assert [event.row[1] for event in await again.take(1)] == [180]
    async with open_api_client(url) as api:
        period = f"from_dt={reset.json['from']}&to_dt={reset.json['to']}"
        answer = await api.get(f"/api/v1/prices/period?ticker=btc_usd&{period}")
        assert answer.timestamps == [60, 120]


def _aged(position: str, seconds: int) -> str:
    """Return the position that was current so many seconds before."""
    from app.domain.price_stream import StreamPosition  # noqa: PLC0415  # only here

    parsed = StreamPosition.decode(position)
    return parsed._replace(taken_at=parsed.taken_at - seconds).encode()


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_thousand_open_streams_end_within_two_seconds(
    processes: Processes, sql: asyncpg.Connection, workers: int
) -> None:
    await add_recording(sql, 60)
    process, url = await _start_api(processes, workers)
    host, port = url.removeprefix("http://").split(":")
    request = f"GET /api/v1/prices/stream?ticker=btc_usd HTTP/1.1\r\nHost: {host}\r\n\r\n"

    async def open_one() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request.encode())
        await reader.readuntil(b"retry: 3000\n\n")
        return reader, writer

    streams = []
    for _ in range(STREAMS // 50):
        streams += await asyncio.gather(*(open_one() for _ in range(50)))
    began = time.monotonic()
    ending = asyncio.create_task(asyncio.to_thread(process.stop, 20))
    ends = await asyncio.gather(*(reader.read() for reader, _ in streams))
    await ending
    seconds = time.monotonic() - began
    assert all(b'event: closing\ndata: {"reason":"shutting_down"}' in end for end in ends)
    assert seconds < 2
    for _, writer in streams:
        writer.close()
