"""Reads as of a moment: what was stored by then, and was not deleted since."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import NamedTuple

import asyncpg
import pytest

from app.core.errors import NoPriceNear, ParametersInvalid
from app.domain.candle_queries import CandleInterval, CandleQuery, Fill
from app.domain.deletion import Selection
from app.domain.encoded_rows import Column, EncodedPage, RowTemplate
from app.domain.exports import ExportFormat
from app.domain.imports import ImportRequest
from app.domain.prices import UNBOUNDED, Order, Price, Source, TickerKey, TimeRange
from app.domain.recordings import Recording
from app.domain.slots import MICROSECONDS, SECONDS_PER_HOUR, Slot
from app.postgres.database import Database
from app.repositories import creation_times, prices, recordings
from app.services.deletion import DeletionService
from app.services.exports import ExportService
from app.services.imports import ImportService
from app.services.reader import PriceReader, ReadCache
from tests.repositories.rows import store
from tests.waiting import until

BTC = TickerKey("deribit", "btc_usd")
T0 = 1_768_579_200
HOURS = 6
TEMPLATE = RowTemplate((Column.TIMESTAMP, "=", Column.PRICE, "=", Column.SOURCE), separator=";")
_WAITING = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'price_hours'::regclass"


class Row(NamedTuple):
    """A stored row; each write has a price of its own, so rows tell which one stored them."""

    slot: int
    price: str
    source: str


def parse_rows(page: EncodedPage) -> list[Row]:
    text = b";".join(page.pieces).decode()
    fields = [line.split("=") for line in text.split(";") if line]
    return [Row(int(slot), price, source) for slot, price, source in fields]


async def now_us(sql: asyncpg.Connection) -> int:
    text = "SELECT (1000000 * extract(epoch FROM clock_timestamp()))::bigint"
    return int(await sql.fetchval(text))


@dataclass
class Record:
    """A record that random writes change, and a log of what was committed when."""

    database: Database
    sql: asyncpg.Connection
    directory: Path
    rng: Random
    writes: int = 0
    log: list[tuple[int, set[Row]]] = field(default_factory=list)

    async def write(self) -> None:
        """Change the record in a random way, and log the moment and the rows after it."""
        self.writes += 1
        await self.rng.choice((self.repair, self.repair, self.load, self.change, self.forget))()
        rows = await self.rows()
        self.log.append((await now_us(self.sql), rows))

    async def rows(self) -> set[Row]:
        query = "SELECT timestamp, price::text, source FROM prices"
        return {Row(*row) for row in await self.sql.fetch(query)}

    async def known(self, index: int) -> list[Row]:
        """Replay the log: what was there after a write, and is there still."""
        return sorted(self.log[index][1] & await self.rows())

    async def repair(self) -> None:
        source = self.rng.choice((Source.LIVE, Source.BACKFILL))
        await self._insert(self._slots(60), source)

    async def change(self) -> None:
        """Close the recording, and open one of another interval."""
        interval = self.rng.choice((60, 300))
        slot = Slot(T0 + self.rng.randrange(HOURS) * SECONDS_PER_HOUR)
        async with self.database.transaction() as session:
            await recordings.lock_recordings(session)
            known = (await recordings.newest(session)).get(BTC)
            if known is None or slot > known.first_slot:
                closed = [] if known is None else [replace(known, last_slot=Slot(slot - 60))]
                await recordings.upsert(session, [*closed, Recording(BTC, interval, slot, None)])
        await self._insert(self._slots(interval), Source.LIVE)

    async def load(self) -> None:
        path = self.directory / f"{self.writes}.csv"
        lines = [f"{slot},{self.writes}.5" for slot in self._slots(300)]
        path.write_text("\n".join(["timestamp,price", *lines, ""]))
        request = ImportRequest(None, "btc_usd", 300)
        await ImportService(self.database).load(path, request, lambda _: None)

    async def forget(self) -> None:
        slots = self._slots(60)
        source = self.rng.choice((None, *Source))
        selection = Selection(BTC, TimeRange(slots[0], slots[-1]), source)
        await DeletionService(self.database).delete(selection)

    def _slots(self, interval: int) -> Sequence[Slot]:
        first, last = sorted(self.rng.sample(range(HOURS * SECONDS_PER_HOUR // interval), 2))
        return [Slot(T0 + number * interval) for number in range(first, last + 1)]

    async def _insert(self, slots: Sequence[Slot], source: Source) -> None:
        price = Decimal(f"{self.writes}.5")
        observed_us = (T0 + 2 * HOURS * SECONDS_PER_HOUR) * MICROSECONDS  # so that all are due
        rows = [Price(BTC, slot, price, observed_us, source) for slot in slots]
        async with self.database.transaction() as session:
            await creation_times.renew_if_old(session, await prices.insert_new(session, rows))


def make_reader(database: Database, cache_bytes: int) -> PriceReader:
    return PriceReader(database, ReadCache(database, TEMPLATE, cache_bytes), frozenset({BTC}), 60)


@pytest.fixture(params=[0, 1_000_000], ids=["table", "cache"])
def reader(request: pytest.FixtureRequest, database: Database) -> PriceReader:
    return make_reader(database, request.param)


def brute_force_candles(rows: Sequence[Row], width: int) -> list[Mapping[str, object]]:
    by_start: dict[int, list[Row]] = {}
    for row in rows:
        by_start.setdefault(row.slot // width * width, []).append(row)
    return [
        {
            "timestamp": start,
            "open": float(of_candle[0].price),
            "high": max(float(row.price) for row in of_candle),
            "low": min(float(row.price) for row in of_candle),
            "close": float(of_candle[-1].price),
            "samples": len(of_candle),
        }
        for start, of_candle in sorted(by_start.items())
    ]


async def read_all(reader: PriceReader, order: Order, as_of_us: int, limit: int) -> list[Row]:
    """Read a list page by page, as the API does."""
    found: list[Row] = []
    whole = TimeRange(T0, T0 + HOURS * SECONDS_PER_HOUR)
    rest = whole if order is Order.ASC else UNBOUNDED
    while True:
        page = await reader.read_page(BTC, rest, order, limit, as_of_us=as_of_us)
        found += parse_rows(page)
        assert not page.is_complete, "it may change with a deletion, and must be revalidated"
        if not page.has_more or page.last is None:
            return found
        is_ascending = order is Order.ASC
        rest = (
            TimeRange(page.last + 1, whole.end) if is_ascending else TimeRange(None, page.last - 1)
        )


async def read_export(database: Database, as_of_us: int) -> list[Row]:
    service = ExportService(database)
    export = await service.prepare(BTC, UNBOUNDED, ExportFormat.NDJSON, as_of_us)
    async with aclosing(service.stream(export)) as pieces:
        lines = b"".join([piece async for piece in pieces]).decode().splitlines()
    items = [json.loads(line, parse_float=str) for line in lines]
    return [Row(item["timestamp"], item["price"], item["source"]) for item in items]


async def read_candles(
    reader: PriceReader, interval: CandleInterval, as_of_us: int
) -> list[Mapping[str, object]]:
    query = CandleQuery(BTC, interval, UNBOUNDED, Fill.NONE, 1000, as_of_us=as_of_us)
    page = await reader.read_candles(query)
    found: list[Mapping[str, object]] = json.loads(b"[%b]" % b"".join(page.pieces))
    return found


def without_closed(candles: Sequence[Mapping[str, object]]) -> list[Mapping[str, object]]:
    return [{name: one[name] for name in one if name != "closed"} for one in candles]


@pytest.mark.parametrize("seed", range(3))
async def test_every_read_equals_a_replay_of_what_was_committed_when(
    reader: PriceReader, database: Database, sql: asyncpg.Connection, tmp_path: Path, seed: int
) -> None:
    record = Record(database, sql, tmp_path, Random(seed))  # noqa: S311  # a test's data
    for written in range(1, 9):
        await record.write()
        await reader.cache.refresh()  # or it may have deleted rows for another second
        for index in record.rng.sample(range(written), min(3, written)):
            await _compare_with_replay(reader, record, index)


async def _compare_with_replay(reader: PriceReader, record: Record, index: int) -> None:
    as_of_us, expected = record.log[index][0], await record.known(index)
    limit = record.rng.choice((50, 1000))
    assert await read_all(reader, Order.ASC, as_of_us, limit) == expected
    assert await read_all(reader, Order.DESC, as_of_us, limit) == expected[::-1]
    assert await read_export(record.database, as_of_us) == expected
    interval = record.rng.choice((CandleInterval.FIVE_MINUTES, CandleInterval.ONE_HOUR))
    candles = brute_force_candles(expected, interval.seconds)
    assert without_closed(await read_candles(reader, interval, as_of_us)) == candles
    timestamp = T0 + record.rng.randrange(HOURS * SECONDS_PER_HOUR)
    near = [row for row in expected if timestamp - 600 <= row.slot <= timestamp]
    assert await _read_at(reader, timestamp, as_of_us) == (near[-1] if near else None)


async def _read_at(reader: PriceReader, timestamp: int, as_of_us: int) -> Row | None:
    try:
        price = await reader.read_at(BTC, timestamp, 600, as_of_us)
    except NoPriceNear:
        return None
    return Row(price.slot, str(price.price), price.source)


async def test_row_that_a_repair_added_again_after_a_deletion_was_not_known_before(
    reader: PriceReader, database: Database, sql: asyncpg.Connection
) -> None:
    await store(sql, [T0], price="1")
    stored_us = await now_us(sql)
    await DeletionService(database).delete(Selection(BTC, TimeRange(T0, T0)))
    await store(sql, [T0], price="2", source="backfill")
    for order in Order:
        assert await read_all(reader, order, stored_us, 10) == []
        assert await read_all(reader, order, await now_us(sql), 10) == [Row(T0, "2", "backfill")]


async def test_moment_after_the_last_refresh_is_not_served_from_the_cache(
    database: Database, sql: asyncpg.Connection
) -> None:
    """The cache may lag by a second, in which a row was stored that was known at the moment."""
    seconds = [0.0]  # while it stands still, the cache stays fresh
    cache = ReadCache(database, TEMPLATE, 1_000_000, clock=lambda: seconds[0])
    reader = PriceReader(database, cache, frozenset({BTC}), 60)
    await store(sql, [T0], price="1")
    await cache.refresh()
    earlier_us = await now_us(sql)
    seconds[0] = 5
    await cache.refresh()
    assert len(await read_all(reader, Order.DESC, earlier_us, 10)) == 1
    assert cache.cached_page(BTC, TimeRange(T0, T0 + 60), 10, earlier_us) is not None
    await store(sql, [T0 + 60], price="2")
    as_of_us = await now_us(sql)
    assert cache.cached_page(BTC, TimeRange(T0, T0 + 60), 10, as_of_us) is None
    for order in Order:
        assert len(await read_all(reader, order, as_of_us, 10)) == 2


async def test_moment_to_come_is_refused_by_the_clock_of_the_database(
    reader: PriceReader, database: Database, sql: asyncpg.Connection
) -> None:
    await store(sql, [T0])
    future_us = await now_us(sql) + 60 * MICROSECONDS
    query = CandleQuery(BTC, CandleInterval.ONE_HOUR, UNBOUNDED, Fill.NONE, 9, as_of_us=future_us)
    reads: list[Callable[[], Awaitable[object]]] = [
        lambda: reader.read_page(BTC, UNBOUNDED, Order.DESC, 9, as_of_us=future_us),
        lambda: reader.read_page(BTC, TimeRange(T0, T0), Order.ASC, 9, as_of_us=future_us),
        lambda: reader.read_at(BTC, T0, as_of_us=future_us),
        lambda: reader.read_candles(query),
        lambda: ExportService(database).prepare(BTC, UNBOUNDED, ExportFormat.CSV, future_us),
    ]
    for read in reads:
        with pytest.raises(ParametersInvalid, match="as_of: must not lie in the future"):
            await read()


@pytest.fixture
async def locked_summaries(
    sql: asyncpg.Connection,
) -> asyncpg.transaction.Transaction:
    """A transaction of another session that keeps every write of prices waiting."""
    transaction = sql.transaction()
    await transaction.start()
    await sql.execute("LOCK TABLE price_hours IN SHARE MODE")
    return transaction


async def _hold_back(
    sql: asyncpg.Connection, lock: asyncpg.transaction.Transaction, write: Awaitable[object]
) -> int:
    """Let a write wait until its rows must be stamped anew; return a moment while it waits."""
    writing = asyncio.ensure_future(write)
    await until(lambda: sql.fetchval(_WAITING))
    renewed_us = await now_us(sql) + round(creation_times.MAX_AGE_SECONDS * MICROSECONDS)

    async def is_old() -> bool:
        return await now_us(sql) > renewed_us

    await until(is_old)
    waiting_us = await now_us(sql)
    await lock.rollback()
    await writing
    return waiting_us


async def test_rows_of_an_import_that_waited_were_not_known_while_it_waited(
    reader: PriceReader,
    database: Database,
    sql: asyncpg.Connection,
    locked_summaries: asyncpg.transaction.Transaction,
    tmp_path: Path,
) -> None:
    path = tmp_path / "late.csv"
    path.write_text(f"timestamp,price\n{T0},1.5\n{T0 + 60},2.5\n")
    request = ImportRequest(None, "btc_usd", 60)
    load = ImportService(database).load(path, request, lambda _: None)
    waiting_us = await _hold_back(sql, locked_summaries, load)
    assert await read_all(reader, Order.ASC, waiting_us, 10) == []
    assert len(await read_all(reader, Order.ASC, await now_us(sql), 10)) == 2
    assert await sql.fetchval("SELECT sum(samples) FROM price_hours") == 2


async def test_rows_of_a_transaction_that_waited_are_stamped_at_its_end(
    database: Database,
    sql: asyncpg.Connection,
    locked_summaries: asyncpg.transaction.Transaction,
) -> None:
    rows = [Price(BTC, Slot(slot), Decimal(1), 0, Source.LIVE) for slot in (T0, T0 + 60)]

    async def write() -> None:
        async with database.transaction() as session:
            await creation_times.renew_if_old(session, await prices.insert_new(session, rows))

    waiting_us = await _hold_back(sql, locked_summaries, write())
    query = "SELECT count(*) FROM prices WHERE created_at > to_timestamp($1::float8 / 1000000)"
    assert await sql.fetchval(query, waiting_us) == 2


async def test_rows_of_one_statement_become_known_together(
    database: Database, sql: asyncpg.Connection
) -> None:
    rows = [Price(BTC, Slot(T0 + 60 * n), Decimal(1), 0, Source.LIVE) for n in range(500)]
    before_us = await now_us(sql)
    async with database.transaction() as session:
        started_us = await now_us(sql)
        await prices.database_now_us(session)  # the transaction begins
        later_us = await now_us(sql)
        await prices.insert_new(session, rows)
    stamps = await sql.fetch(
        "SELECT DISTINCT (1000000 * extract(epoch FROM created_at))::bigint FROM prices"
    )
    assert len(stamps) == 1
    assert before_us <= started_us <= later_us < stamps[0][0], "not when the transaction began"


async def test_slot_far_ahead_of_a_moment_is_not_shown_and_candles_were_open_then(
    reader: PriceReader, sql: asyncpg.Connection
) -> None:
    """A slot more than an hour ahead could not be known, whatever its row says."""
    await store(sql, range(T0, T0 + 6 * SECONDS_PER_HOUR, 60))
    await sql.execute("UPDATE prices SET created_at = to_timestamp(timestamp + 5)")
    await store(sql, [T0 + 7 * SECONDS_PER_HOUR])
    as_of_us = (T0 + 2 * SECONDS_PER_HOUR) * MICROSECONDS
    await sql.execute(
        "UPDATE prices SET created_at = 'epoch' WHERE created_at > now() - interval '1 h'"
    )
    known = range(T0, T0 + 2 * SECONDS_PER_HOUR, 60)
    for order, expected in ((Order.ASC, [*known]), (Order.DESC, [*known][::-1])):
        found = await read_all(reader, order, as_of_us, 1000)
        assert [row.slot for row in found] == expected
    candles = await read_candles(reader, CandleInterval.ONE_HOUR, as_of_us + 90 * MICROSECONDS)
    assert [(one["samples"], one["closed"]) for one in candles] == [(60, True)] * 2 + [(2, False)]
