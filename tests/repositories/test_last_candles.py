"""The last candles of a range: the same as plain Python finds, with a bound on the work."""

import json
from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from random import Random

import asyncpg
import pytest

from app.domain.candle_queries import CandleColumns, CandleInterval, CandleQuery, Fill
from app.domain.prices import TimeRange
from app.domain.symbols import Precision
from app.postgres.database import Database
from app.repositories import candles, prices
from tests.repositories.rows import store
from tests.repositories.test_candles import (
    BTC,
    DAY,
    Candle,
    expected_candles,
    fill_at_random,
    random_range,
    rows_read,
    store_minutes,
    stored_prices,
)

NONE = CandleColumns("", "", "", "", "", 0, None)


def _query(interval: CandleInterval, time_range: TimeRange, limit: int = 10_000) -> CandleQuery:
    return CandleQuery(BTC, interval, time_range, Fill.NONE, limit)


async def _read(database: Database, query: CandleQuery) -> CandleColumns:
    async with database.read_committed() as session:
        return await candles.read_last(session, query)


def _parse(columns: CandleColumns) -> list[tuple[object, ...]]:
    texts = (columns.starts, columns.opens, columns.highs, columns.lows, columns.closes)
    parsed = [json.loads(f"[{text}]", parse_float=Decimal) for text in texts]
    rows = list(zip(*parsed, strict=True))
    assert len(rows) == columns.count
    return rows


def _expected(rows: Mapping[int, Decimal], query: CandleQuery) -> list[Candle]:
    return expected_candles(rows, query, 0)[-query.limit :]


def _previous(rows: Mapping[int, Decimal], query: CandleQuery) -> int | None:
    everything = expected_candles(rows, _query(query.interval, TimeRange()), 0)
    starts = [candle.timestamp for candle in everything if candle.timestamp < query.first_start]
    return max(starts, default=None)


@pytest.mark.parametrize("seed", range(4))
async def test_sql_finds_the_last_ones_that_brute_force_finds(
    database: Database, sql: asyncpg.Connection, seed: int
) -> None:
    random = Random(seed)  # noqa: S311  # a reproducible case, no secret
    await store(sql, [100], ticker="eth_usd")
    await fill_at_random(sql, random)
    rows = await stored_prices(sql)
    for interval in CandleInterval:
        for _ in range(4):
            limit = random.choice([1, 2, 7, 53, 10_000])
            query = _query(interval, random_range(random), limit)
            columns, expected = await _read(database, query), _expected(rows, query)
            assert _parse(columns) == [candle[:5] for candle in expected], query
            assert columns.last_start_before == (None if expected else _previous(rows, query)), (
                query
            )


async def test_nothing_stored_is_no_candle(database: Database) -> None:
    for interval in CandleInterval:
        assert await _read(database, _query(interval, TimeRange(None, 10**10))) == NONE


@pytest.mark.parametrize("interval", CandleInterval)
async def test_last_candles_read_little_more_than_their_rows_however_far_back(
    database: Database, sql: asyncpg.Connection, interval: CandleInterval
) -> None:
    await store_minutes(sql, 50_000, "live")
    # few hours are read as a whole, rather than by their index
    most = 2_000 if interval.seconds >= 3600 else 3 * 5 * interval.seconds // 60 + 20
    for end in (50_000 * 60, 50_000 * 60 + 400 * DAY):
        query = _query(interval, TimeRange(None, end), 5)
        read = await rows_read(database, sql, partial(candles.read_last, query=query))
        assert 5 <= read <= most, end
    nothing = partial(candles.read_last, query=_query(interval, TimeRange(None, -7 * DAY), 5))
    assert await rows_read(database, sql, nothing) <= 10


async def test_precision_is_that_of_a_week_of_recorded_hours(
    database: Database, sql: asyncpg.Connection
) -> None:
    async def precision() -> Precision | None:
        async with database.read_committed() as session:
            return await prices.read_precision(session, BTC)

    assert await precision() is None
    await store(sql, [0], price="1.123456789")
    assert await precision() == Precision(1, 9)
    await store(sql, range(DAY, 8 * DAY, 1800), price="95123.50")
    assert await precision() == Precision(5, 1)
    await store(sql, [8 * DAY - 60], price="95123.125")
    assert await precision() == Precision(5, 3)
    await store(sql, [8 * DAY], ticker="eth_usd", price="0.00001")
    assert await precision() == Precision(5, 3)
