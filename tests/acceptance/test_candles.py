"""Candles at a real size: equal to what SQL folds from the minutes, and five times as fast."""

import json
import statistics
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial

import asyncpg
import pytest

from app.domain.candle_queries import CandleInterval, CandleQuery, Fill
from app.domain.prices import TickerKey, TimeRange
from app.files.text_layouts import JSON_ITEM
from app.postgres.database import Database
from app.services.reader import PriceReader, ReadCache

pytestmark = pytest.mark.accept

BTC = TickerKey("deribit", "btc_usd")
START = 1_451_606_400
DAY = 86_400
MINUTES = 3_653 * 1_440
CASES = (
    (CandleInterval.ONE_HOUR, TimeRange(START + 1_000 * DAY, START + 1_365 * DAY - 1), 8_760),
    (CandleInterval.ONE_DAY, TimeRange(START, START + 3_653 * DAY - 1), 3_653),
)
ALL = (Fill.NONE, 10_000)
ROUNDS = 5
TIMES_AS_FAST = 5

_FILL = """
INSERT INTO prices (exchange, ticker, timestamp, price, observed_us, source)
SELECT 'deribit', 'btc_usd', $1 + minute * 60, 50000 + minute % 997 / 8.0, 0, 'import'
FROM generate_series(0, $2::bigint - 1) AS minute
"""
_FROM_MINUTES = """
SELECT timestamp - timestamp % $1 AS start, (array_agg(price ORDER BY timestamp))[1],
       max(price), min(price), (array_agg(price ORDER BY timestamp DESC))[1], count(*)
FROM prices
WHERE exchange = 'deribit' AND ticker = 'btc_usd' AND timestamp BETWEEN $2 AND $3
GROUP BY 1 ORDER BY 1
"""


async def _seconds(work: Callable[[], Awaitable[object]]) -> float:
    start = time.perf_counter()
    await work()
    return time.perf_counter() - start


def _parse(items: bytes) -> list[tuple[object, ...]]:
    """Read candles as PostgreSQL's own columns; all are closed."""
    read = [tuple(item.values()) for item in json.loads(b"[" + items + b"]", parse_float=Decimal)]
    assert all(candle[-1] is True for candle in read)
    return [candle[:-1] for candle in read]


async def test_candles_are_five_times_as_fast_as_from_minutes(
    database: Database, sql: asyncpg.Connection, record_property: Callable[[str, object], None]
) -> None:
    await sql.execute(_FILL, START, MINUTES, timeout=300)
    await sql.execute("VACUUM ANALYZE prices, price_hours", timeout=300)
    await sql.execute("SET jit = off")
    reader = PriceReader(database, ReadCache(database, JSON_ITEM, 0), frozenset({BTC}), 60)
    for interval, span, count in CASES:
        ours = partial(reader.read_candles, CandleQuery(BTC, interval, span, *ALL))
        theirs = partial(sql.fetch, _FROM_MINUTES, interval.seconds, *span)
        found = _parse(b"".join((await ours()).pieces))
        assert len(found) == count
        assert found == [tuple(row) for row in await theirs()]
        taken = [(await _seconds(ours), await _seconds(theirs)) for _ in range(ROUNDS)]
        quick, slow = map(statistics.median, zip(*taken, strict=True))
        record_property(f"{interval}", f"{quick:.4f} s by hours, {slow:.4f} s from minutes")
        assert quick * TIMES_AS_FAST <= slow, f"{interval}: {quick:.4f} s against {slow:.4f} s"
