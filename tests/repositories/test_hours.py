"""The summaries of hours: written with the rows, by whoever writes them."""

import asyncio
from collections.abc import Iterable
from decimal import Decimal
from random import Random

import asyncpg
import pytest

from app.db.session import Database
from app.domain.prices import Price, Source, TickerKey
from app.domain.slots import Slot
from app.repositories import prices
from tests.conftest import Servers
from tests.repositories.rows import store

BTC = TickerKey("deribit", "btc_usd")
HOUR = 3600

KEPT = "SELECT * FROM price_hours ORDER BY exchange, ticker, hour"
COUNTED = """
SELECT exchange, ticker, timestamp / 3600 * 3600 AS hour,
       (array_agg(price ORDER BY timestamp))[1] AS open, max(price) AS high, min(price) AS low,
       (array_agg(price ORDER BY timestamp DESC))[1] AS close,
       min(timestamp) AS first_slot, max(timestamp) AS last_slot, count(*) AS samples,
       sum((source = 'backfill')::int) AS backfilled, sum((source = 'import')::int) AS imported,
       (SELECT max(step) FROM generate_series(1, 86400) AS step
        WHERE 86400 % step = 0 AND NOT EXISTS (
            SELECT FROM prices AS p WHERE p.timestamp % step > 0 AND p.ticker = prices.ticker
            AND p.exchange = prices.exchange AND p.timestamp / 3600 = min(prices.timestamp) / 3600
        )) AS grid_seconds
FROM prices GROUP BY exchange, ticker, timestamp / 3600 ORDER BY 1, 2, 3
"""


async def _require_equal(sql: asyncpg.Connection) -> None:
    kept, counted = await sql.fetch(KEPT), await sql.fetch(COUNTED)
    assert [dict(row) for row in kept] == [dict(row) for row in counted]


def _prices(random: Random, slots: Iterable[int]) -> list[Price]:
    return [
        Price(BTC, Slot(slot), Decimal(random.randrange(1, 900)) / 7, slot * 1_000_000, source)
        for slot in slots
        for source in [random.choice(list(Source))]
    ]


@pytest.mark.parametrize("seed", range(5))
async def test_summaries_equal_the_rows_whatever_is_done_to_them(
    database: Database, sql: asyncpg.Connection, seed: int
) -> None:
    random = Random(seed)  # noqa: S311  # a reproducible case, no secret
    for _ in range(6):
        slots = random.sample(range(0, 6 * HOUR, random.choice([1, 6, 27, 60])), 100)
        async with database.transaction() as session:
            await prices.add(session, _prices(random, slots))
        await _require_equal(sql)
        start = random.randrange(6 * HOUR)
        await sql.execute("DELETE FROM prices WHERE timestamp BETWEEN $1 AND $1 + 4000", start)
        await _require_equal(sql)
        await sql.execute(
            "UPDATE prices SET price = price * 2, timestamp = timestamp + 7200 "
            "WHERE timestamp >= 4 * 3600 AND timestamp % 60 = 0"
        )
        await _require_equal(sql)
    await sql.execute("TRUNCATE prices")
    assert await sql.fetch(KEPT) == []


async def test_row_that_is_there_already_counts_once(
    database: Database, sql: asyncpg.Connection
) -> None:
    rows = [Price(BTC, Slot(slot), Decimal(5), 0, Source.LIVE) for slot in (0, 60)]
    for _ in range(3):
        async with database.transaction() as session:
            await prices.add(session, rows)
    assert await sql.fetchval("SELECT samples FROM price_hours") == 2


async def test_rolled_back_rows_leave_no_summary(sql: asyncpg.Connection) -> None:
    transaction = sql.transaction()
    await transaction.start()
    await store(sql, [0, 60])
    assert await sql.fetchval("SELECT sum(samples) FROM price_hours") == 2
    await transaction.rollback()
    assert await sql.fetch(KEPT) == []


async def test_copied_rows_are_counted(sql: asyncpg.Connection) -> None:
    rows = [("deribit", "btc_usd", slot, Decimal(5), slot, "import") for slot in range(0, 9000, 60)]
    columns = ["exchange", "ticker", "timestamp", "price", "observed_us", "source"]
    await sql.copy_records_to_table("prices", records=rows, columns=columns)
    await _require_equal(sql)


async def test_writers_beside_one_another_are_all_counted(
    servers: Servers, database_name: str, sql: asyncpg.Connection
) -> None:
    """Adding and removing in the same hours, in every order, from several connections."""

    async def churn(seed: int) -> None:
        random = Random(seed)  # noqa: S311  # a reproducible case, no secret
        connection = await asyncpg.connect(servers.plain_url(database_name))
        for _ in range(40):
            slot = random.randrange(0, 3 * HOUR)
            await connection.execute(
                "INSERT INTO prices (exchange, ticker, timestamp, price, observed_us, source) "
                "VALUES ('deribit', 'btc_usd', $1, $2, 0, 'live') ON CONFLICT DO NOTHING",
                slot,
                Decimal(random.randrange(1, 99)),
            )
            if random.random() < 0.5:
                await connection.execute(
                    "DELETE FROM prices WHERE timestamp BETWEEN $1 AND $1 + 600",
                    random.randrange(0, 3 * HOUR),
                )
        await connection.close()

    await asyncio.gather(*(churn(seed) for seed in range(6)))
    await _require_equal(sql)
