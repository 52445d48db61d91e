"""Candles folded by SQL: the same as plain Python folds."""

import datetime as dt
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from functools import partial
from random import Random
from typing import NamedTuple

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.candle_queries import CandleInterval, CandleQuery, Fill
from app.domain.encoded_rows import EncodedPage
from app.domain.prices import TickerKey, TimeRange
from app.domain.slots import Slot
from app.postgres.database import Database
from app.repositories import candles
from tests.repositories.rows import store

BTC = TickerKey("deribit", "btc_usd")
DAY = 86_400
NOW = Slot(7 * DAY)
EVERYTHING = TimeRange()


class Candle(NamedTuple):
    """A candle as it came, or as it should."""

    timestamp: int
    open: Decimal | None
    high: Decimal | None
    low: Decimal | None
    close: Decimal | None
    samples: int
    closed: bool


def _query(
    interval: CandleInterval,
    span: TimeRange = EVERYTHING,
    fill: Fill = Fill.NONE,
    limit: int = 10_000,
) -> CandleQuery:
    return CandleQuery(BTC, interval, span, fill, limit)


async def _page(database: Database, query: CandleQuery, open_from: Slot = NOW) -> EncodedPage:
    async with database.read_committed() as session:
        return await candles.read_page(session, query, open_from)


def _read(page: EncodedPage) -> list[Candle]:
    items = json.loads(b"[" + b"".join(page.pieces) + b"]", parse_float=Decimal)
    return [Candle(**item) for item in items]


async def _read_all_pages(
    database: Database, query: CandleQuery, open_from: Slot = NOW
) -> list[Candle]:
    """Read page by page; each but the last is full, and none is empty after a first one."""
    found: list[Candle] = []
    rest = query
    while True:
        page = await _page(database, rest, open_from)
        read = _read(page)
        assert page.count == len(read) <= query.limit
        assert page.last == (read[-1].timestamp if read else None)
        found += read
        if not page.has_more:
            assert read or not found
            return found
        assert page.count == query.limit
        rest = rest.after(read[-1].timestamp)


def _start_of_candle(slot: int, interval: CandleInterval) -> int:
    """Return the start of the candle that a slot lies in, of a week by the calendar."""
    start = slot // interval.seconds * interval.seconds
    if interval is not CandleInterval.ONE_WEEK:
        return start
    date = dt.datetime.fromtimestamp(slot, dt.UTC).date()
    monday = date - dt.timedelta(days=date.weekday())
    return (monday - dt.date(1970, 1, 1)).days * DAY


def _fold(
    rows: Mapping[int, Decimal], interval: CandleInterval, open_from: int
) -> dict[int, Candle]:
    """Fold rows into candles, in plain words."""
    width = interval.seconds
    buckets: dict[int, list[Decimal]] = {}
    for slot in sorted(rows):
        buckets.setdefault(_start_of_candle(slot, interval), []).append(rows[slot])
    return {
        start: Candle(
            start,
            group[0],
            max(group),
            min(group),
            group[-1],
            len(group),
            start + width <= open_from,
        )
        for start, group in buckets.items()
    }


def expected_candles(
    rows: Mapping[int, Decimal], query: CandleQuery, open_from: int
) -> list[Candle]:
    width = query.interval.seconds
    real = _fold(rows, query.interval, open_from)
    starts: Iterable[int] = sorted(real)
    if query.fill is not Fill.NONE and real:
        starts = range(min(real), max(real) + 1, width)
    found: list[Candle] = []
    close: Decimal | None = None
    for start in starts:
        candle = real.get(start)
        if candle is None:
            filling = close if query.fill is Fill.PREVIOUS else None
            prices = (filling, filling, filling, filling)
            candle = Candle(start, *prices, 0, start + width <= open_from)
        else:
            close = candle.close
        if _is_within(start, query.time_range):
            found.append(candle)
    return found


def _is_within(timestamp: int, span: TimeRange) -> bool:
    above = span.start is None or timestamp >= span.start
    return above and (span.end is None or timestamp <= span.end)


async def fill_at_random(sql: asyncpg.Connection, random: Random) -> None:
    """Store rows of several sources and intervals in no order, and take some away again."""
    for _ in range(random.randint(1, 4)):
        step = random.choice([1, 27, 60, 60, 60, 900, 3600, 7200])
        start = random.randrange(5 * DAY) // step * step
        slots = random.sample(range(start, start + 300 * step, step), random.randint(1, 250))
        for slot in slots:
            price = str(Decimal(random.randrange(1, 10**6)) / 8)
            await _store_new(sql, slot, price, random.choice(["live", "backfill", "import"]))
    start = random.randrange(5 * DAY)
    await sql.execute("DELETE FROM prices WHERE timestamp BETWEEN $1 AND $1 + 20000", start)


async def _store_new(sql: asyncpg.Connection, slot: int, price: str, source: str) -> None:
    await sql.execute(
        "INSERT INTO prices (exchange, ticker, timestamp, price, observed_us, source) "
        "VALUES ('deribit', 'btc_usd', $1, $2, 0, $3) ON CONFLICT DO NOTHING",
        slot,
        Decimal(price),
        source,
    )


async def stored_prices(sql: asyncpg.Connection) -> dict[int, Decimal]:
    rows = await sql.fetch("SELECT timestamp, price FROM prices WHERE ticker = 'btc_usd'")
    return {row["timestamp"]: row["price"] for row in rows}


def random_range(random: Random) -> TimeRange:
    start = random.choice([None, random.randrange(-DAY, 8 * DAY)])
    end = random.choice([None, random.randrange(-DAY, 12 * DAY)])
    return TimeRange(start, end)


def _random_queries(random: Random) -> Iterable[CandleQuery]:
    for interval in CandleInterval:
        for fill in Fill:
            yield _query(interval, random_range(random), fill, random.choice([53, 400, 10_000]))
            day = random.randrange(6) * DAY
            short = TimeRange(day, day + 30 * interval.seconds)
            yield _query(interval, short, fill, random.randint(1, 7))


@pytest.mark.parametrize("seed", range(4))
async def test_sql_folds_what_brute_force_folds(
    database: Database, sql: asyncpg.Connection, seed: int
) -> None:
    random = Random(seed)  # noqa: S311  # a reproducible case, no secret
    await store(sql, [100], ticker="eth_usd")
    for _ in range(2):
        await fill_at_random(sql, random)
        rows, open_from = await stored_prices(sql), Slot(random.randrange(8 * 24) * 3600)
        for query in _random_queries(random):
            found = await _read_all_pages(database, query, open_from)
            assert found == expected_candles(rows, query, open_from), query


@pytest.mark.parametrize("fill", Fill)
async def test_nothing_stored_is_an_empty_page(database: Database, fill: Fill) -> None:
    for interval in CandleInterval:
        page = await _page(database, _query(interval, fill=fill, limit=1))
        assert page == EncodedPage([b""], 0, None, has_more=False)


@pytest.mark.parametrize("interval", CandleInterval)
async def test_cutting_pages_changes_nothing(
    database: Database, sql: asyncpg.Connection, interval: CandleInterval
) -> None:
    width = interval.seconds
    await store(sql, [width * number for number in (3, 4, 7, 8, 20)])
    for fill in Fill:
        whole = _query(interval, TimeRange(4 * width, 21 * width), fill)
        expected = await _read_all_pages(database, whole)
        for limit in range(1, 20):
            assert await _read_all_pages(database, replace(whole, limit=limit)) == expected


async def test_first_page_may_begin_with_the_close_from_before_the_period(
    database: Database, sql: asyncpg.Connection
) -> None:
    await store(sql, [60], price="1.50")
    await store(sql, [600], price="2.5")
    query = _query(CandleInterval.ONE_MINUTE, TimeRange(480, 9000), Fill.PREVIOUS)
    assert (await _page(database, query)).pieces[0].split(b"},{") == [
        b'{"timestamp":480,' + _flat(b"1.50") + b',"samples":0,"closed":true',
        b'"timestamp":540,' + _flat(b"1.50") + b',"samples":0,"closed":true',
        b'"timestamp":600,' + _flat(b"2.5") + b',"samples":1,"closed":true}',
    ]


def _flat(price: bytes) -> bytes:
    return b",".join(b'"%b":%b' % (name, price) for name in (b"open", b"high", b"low", b"close"))


async def test_period_beyond_the_newest_candle_is_empty_however_it_is_filled(
    database: Database, sql: asyncpg.Connection
) -> None:
    await store(sql, [60])
    for fill in Fill:
        assert (
            await _page(database, _query(CandleInterval.ONE_MINUTE, TimeRange(120), fill))
        ).count == 0


async def test_positions_far_away_are_empty_pages(
    database: Database, sql: asyncpg.Connection
) -> None:
    await store(sql, [60, 1800])
    for interval in CandleInterval:
        for fill in Fill:
            query = _query(interval, fill=fill, limit=1)
            assert (await _page(database, query.after(10**18 - 1))).count == 0
            assert (await _page(database, query.after(-(10**18) + 1))).count == 1


async def test_candles_of_an_hour_outlive_their_rows(
    database: Database, sql: asyncpg.Connection
) -> None:
    await store(sql, range(0, 2 * DAY, 600))
    await sql.execute("SET session_replication_role = replica")  # no triggers
    longer = [i for i in CandleInterval if i.seconds >= 3600]
    before = [await _read_all_pages(database, _query(interval)) for interval in longer]
    await sql.execute("DELETE FROM prices")
    assert [await _read_all_pages(database, _query(interval)) for interval in longer] == before
    assert [len(found) for found in before] == [48, 12, 2, 1]


async def test_digits_are_those_that_are_stored(
    database: Database, sql: asyncpg.Connection
) -> None:
    digits = ["0.000000000000000001", "95123.4500", "12345678901234567890.1234567890"]
    for number, price in enumerate(digits):
        await store(sql, [7 * DAY * number], price=price)
    for interval in CandleInterval:
        for written, price in zip(
            (await _page(database, _query(interval))).pieces[0].split(b"},{"), digits, strict=True
        ):
            assert written.count(f":{price},".encode()) == 4


@pytest.mark.parametrize("fill", Fill)
async def test_page_reads_little_more_than_its_rows(
    database: Database, sql: asyncpg.Connection, fill: Fill
) -> None:
    await store_minutes(sql, 50_000, "live")
    # few hours are read as a whole, rather than by their index
    for interval, most in ((CandleInterval.FIVE_MINUTES, 3 * 50), (CandleInterval.FOUR_HOURS, 900)):
        for span in (EVERYTHING, TimeRange(1_500_000)):
            query = _query(interval, span, fill, 10)
            read = await rows_read(
                database, sql, partial(candles.read_page, query=query, open_from=NOW)
            )
            assert 40 <= read <= most


async def store_minutes(sql: asyncpg.Connection, count: int, source: str) -> None:
    await sql.execute(
        "INSERT INTO prices (exchange, ticker, timestamp, price, observed_us, source) "
        "SELECT 'deribit', 'btc_usd', 60 * n, n, 0, $2 FROM generate_series(0, $1 - 1) AS n",
        count,
        source,
    )
    await sql.execute("ANALYZE prices, price_hours")


async def rows_read(
    database: Database,
    sql: asyncpg.Connection,
    work: Callable[[AsyncSession], Awaitable[object]],
) -> int:
    """Count the rows and index entries of prices and their hours that something reads."""
    count = """
        SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname LIKE 'price%')
             + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname LIKE 'price%')
    """
    async with database.read_committed() as session:
        await session.execute(text("SELECT pg_stat_force_next_flush()"))
        before = await sql.fetchval(count)
        await work(session)
        await session.execute(text("SELECT pg_stat_force_next_flush()"))
        return int(await sql.fetchval(count) - before)
