"""Freshness, by the exchange's clock, and what is looked at besides."""

import time

import asyncpg
import pytest
from redis.asyncio import Redis

from app.domain.health import Freshness, HealthReport
from app.domain.prices import TickerKey
from app.postgres.database import Database
from app.services.health import FreshnessService

BTC = TickerKey("deribit", "btc_usd")
ETH = TickerKey("deribit", "eth_usd")
INSERT = """
INSERT INTO prices (exchange, ticker, timestamp, price, observed_us, source, created_at)
SELECT 'deribit', $1, s, 1, (extract(epoch FROM now()) + $3) * 1000000, $4,
       now() - make_interval(secs => $2)
FROM (SELECT floor(extract(epoch FROM now()) - $2)::bigint AS s) AS slots
"""


async def _store(
    sql: asyncpg.Connection, age: int, observed: int, source: str = "live", ticker: str = "btc_usd"
) -> None:
    """Store a row created `age` seconds ago, observed `observed` seconds from now."""
    await sql.execute(INSERT, ticker, age, observed, source)


@pytest.fixture
def freshness(database: Database, redis: Redis) -> FreshnessService:
    return FreshnessService(database, redis, [BTC], 60)


async def _check_btc(freshness: FreshnessService) -> Freshness:
    (found,) = (await freshness.check(time.time())).tickers
    return found


async def test_ticker_without_a_live_row_is_not_fresh(
    freshness: FreshnessService, sql: asyncpg.Connection
) -> None:
    assert await _check_btc(freshness) == Freshness(BTC, None, is_fresh=False)
    await _store(sql, 0, 0, source="backfill")
    assert await _check_btc(freshness) == Freshness(BTC, None, is_fresh=False)


async def test_ticker_is_fresh_for_two_intervals(
    freshness: FreshnessService, sql: asyncpg.Connection
) -> None:
    await _store(sql, 200, -200)
    found = await _check_btc(freshness)
    assert not found.is_fresh
    assert found.age_seconds is not None
    assert 199 <= found.age_seconds < 230
    await _store(sql, 30, -30)
    found = await _check_btc(freshness)
    assert found.is_fresh


async def test_age_is_counted_on_the_exchanges_clock(
    freshness: FreshnessService, sql: asyncpg.Connection
) -> None:
    """The database's clock is an hour ahead of the exchange's: that is no reason for an alarm."""
    await sql.execute(
        "INSERT INTO prices SELECT 'deribit', 'btc_usd', s - 3600, 1, (s - 3590) * 1000000, 'live',"
        " now() FROM (SELECT floor(extract(epoch FROM now()))::bigint AS s) AS present"
    )
    found = await _check_btc(freshness)
    assert found.is_fresh
    assert found.age_seconds is not None
    assert 9 <= found.age_seconds < 40


async def test_row_made_in_the_clocks_future_is_judged_by_the_clock(
    freshness: FreshnessService, sql: asyncpg.Connection
) -> None:
    await _store(sql, -3600, 3600)
    found = await _check_btc(freshness)
    assert (found.age_seconds, found.is_fresh) == (0, True)


@pytest.mark.parametrize(("exchange_now", "next_slot"), [(970, 1020), (1035, 1020), (1090, 1080)])
async def test_next_slot_is_the_current_one_unless_that_has_its_price(
    freshness: FreshnessService, sql: asyncpg.Connection, exchange_now: int, next_slot: int
) -> None:
    await sql.execute(
        "INSERT INTO prices VALUES ('deribit', 'btc_usd', 960, 1, $1, 'live', clock_timestamp())",
        exchange_now * 1_000_000,
    )
    found = await _check_btc(freshness)
    assert (found.last_slot, found.next_slot) == (960, next_slot)


async def test_every_configured_ticker_is_judged_in_order(
    database: Database, redis: Redis, sql: asyncpg.Connection
) -> None:
    await _store(sql, 10, -10, ticker="eth_usd")
    found = await FreshnessService(database, redis, [ETH, BTC], 60).check(time.time())
    assert [(ticker.key, ticker.is_fresh) for ticker in found.tickers] == [
        (ETH, True),
        (BTC, False),
    ]


async def test_clocks_are_compared_with_the_exchanges(
    freshness: FreshnessService, sql: asyncpg.Connection
) -> None:
    """The database's clock is 90 s behind the exchange's, this server's another 30 s."""
    await _store(sql, 10, 80)
    now = float(await sql.fetchval("SELECT extract(epoch FROM clock_timestamp())"))
    (clocks,) = (await freshness.check(now - 30)).clocks
    assert clocks.exchange == "deribit"
    assert clocks.database_seconds == pytest.approx(-90, abs=3)
    assert clocks.server_seconds == pytest.approx(-120, abs=3)


async def test_nothing_is_compared_without_a_row_or_with_one_of_the_future(
    freshness: FreshnessService, sql: asyncpg.Connection
) -> None:
    assert (await freshness.check(time.time())).clocks == []
    await _store(sql, -3600, 3600)
    assert (await freshness.check(time.time())).clocks == []


async def test_what_is_away_is_a_trouble_and_no_error() -> None:
    missing_database = Database("postgresql+asyncpg://user@127.0.0.1:1/prices", pool_size=1)
    away = Redis.from_url("redis://127.0.0.1:1/0")
    found: HealthReport = await FreshnessService(missing_database, away, [BTC], 60).check(
        time.time()
    )
    assert found.tickers == [Freshness(BTC, None, is_fresh=False)]
    assert (found.database_seconds, found.broker_seconds) == (None, None)
    assert "PostgreSQL does not answer" in found.database_trouble
    assert "Redis does not answer" in found.broker_trouble
