"""Freshness, by the exchange's clock."""

import asyncpg

from app.db.session import Database
from app.domain.prices import TickerKey
from app.services.freshness import Freshness, FreshnessWatch

BTC = TickerKey("deribit", "btc_usd")
ETH = TickerKey("deribit", "eth_usd")
ADD = """
INSERT INTO prices (exchange, ticker, timestamp, price, observed_us, source, created_at)
SELECT 'deribit', $1, s, 1, (extract(epoch FROM now()) + $3) * 1000000, $4,
       now() - make_interval(secs => $2)
FROM (SELECT floor(extract(epoch FROM now()) - $2)::bigint AS s) AS slots
"""


async def _add(
    sql: asyncpg.Connection, age: int, observed: int, source: str = "live", ticker: str = "btc_usd"
) -> None:
    """Store a row made so long ago, stamped relative to the database's present."""
    await sql.execute(ADD, ticker, age, observed, source)


async def _look(database: Database) -> Freshness:
    (found,) = await FreshnessWatch(database, [BTC], 60).look()
    return found


async def test_ticker_without_a_live_row_is_not_fresh(
    database: Database, sql: asyncpg.Connection
) -> None:
    assert await _look(database) == Freshness(BTC, None, is_fresh=False)
    await _add(sql, 0, 0, source="backfill")
    assert await _look(database) == Freshness(BTC, None, is_fresh=False)


async def test_ticker_is_fresh_for_two_intervals(
    database: Database, sql: asyncpg.Connection
) -> None:
    await _add(sql, 200, -200)
    found = await _look(database)
    assert not found.is_fresh
    assert found.age_seconds is not None
    assert 199 <= found.age_seconds < 230
    await _add(sql, 30, -30)
    found = await _look(database)
    assert found.is_fresh


async def test_age_is_counted_on_the_exchanges_clock(
    database: Database, sql: asyncpg.Connection
) -> None:
    """The database's clock is an hour ahead of the exchange's: that is no reason for an alarm."""
    await sql.execute(
        "INSERT INTO prices SELECT 'deribit', 'btc_usd', s - 3600, 1, (s - 3590) * 1000000, 'live',"
        " now() FROM (SELECT floor(extract(epoch FROM now()))::bigint AS s) AS present"
    )
    found = await _look(database)
    assert found.is_fresh
    assert found.age_seconds is not None
    assert 9 <= found.age_seconds < 40


async def test_row_made_in_the_clocks_future_is_judged_by_the_clock(
    database: Database, sql: asyncpg.Connection
) -> None:
    await _add(sql, -3600, 3600)
    assert await _look(database) == Freshness(BTC, 0, is_fresh=True)


async def test_every_configured_ticker_is_judged_in_order(
    database: Database, sql: asyncpg.Connection
) -> None:
    await _add(sql, 10, -10, ticker="eth_usd")
    found = await FreshnessWatch(database, [ETH, BTC], 60).look()
    assert [(each.key, each.is_fresh) for each in found] == [(ETH, True), (BTC, False)]
