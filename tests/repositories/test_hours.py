"""The summaries of hours: written with the rows, by whoever writes them."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from decimal import Decimal
from random import Random, SystemRandom

import asyncpg
import pytest

from app.domain.prices import Price, Source, TickerKey
from app.domain.slots import Slot
from app.postgres.database import Database
from app.repositories import prices
from tests.conftest import Servers
from tests.repositories.rows import store
from tests.repositories.statements import run_concurrently
from tests.waiting import until

BTC = TickerKey("deribit", "btc_usd")
HOUR = 3600

STORED_SUMMARIES = "SELECT * FROM price_hours ORDER BY exchange, ticker, hour"
EXPECTED_SUMMARIES = """
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


async def _assert_summaries_match_rows(sql: asyncpg.Connection) -> None:
    stored, expected = await sql.fetch(STORED_SUMMARIES), await sql.fetch(EXPECTED_SUMMARIES)
    assert [dict(row) for row in stored] == [dict(row) for row in expected]


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
            await prices.insert_new(session, _prices(random, slots))
        await _assert_summaries_match_rows(sql)
        start = random.randrange(6 * HOUR)
        await sql.execute("DELETE FROM prices WHERE timestamp BETWEEN $1 AND $1 + 4000", start)
        await _assert_summaries_match_rows(sql)
        await sql.execute(
            "UPDATE prices SET price = price * 2, timestamp = timestamp + 7200 "
            "WHERE timestamp >= 4 * 3600 AND timestamp % 60 = 0 AND NOT EXISTS "
            "(SELECT FROM prices AS later WHERE later.timestamp = prices.timestamp + 7200)"
        )
        await _assert_summaries_match_rows(sql)
    await sql.execute("TRUNCATE prices")
    assert await sql.fetch(STORED_SUMMARIES) == []


async def test_row_that_is_there_already_counts_once(
    database: Database, sql: asyncpg.Connection
) -> None:
    rows = [Price(BTC, Slot(slot), Decimal(5), 0, Source.LIVE) for slot in (0, 60)]
    for _ in range(3):
        async with database.transaction() as session:
            await prices.insert_new(session, rows)
    assert await sql.fetchval("SELECT samples FROM price_hours") == 2


async def test_rolled_back_rows_leave_no_summary(sql: asyncpg.Connection) -> None:
    transaction = sql.transaction()
    await transaction.start()
    await store(sql, [0, 60])
    assert await sql.fetchval("SELECT sum(samples) FROM price_hours") == 2
    await transaction.rollback()
    assert await sql.fetch(STORED_SUMMARIES) == []


async def test_copied_rows_are_counted(sql: asyncpg.Connection) -> None:
    rows = [("deribit", "btc_usd", slot, Decimal(5), slot, "import") for slot in range(0, 9000, 60)]
    columns = ["exchange", "ticker", "timestamp", "price", "observed_us", "source"]
    await sql.copy_records_to_table("prices", records=rows, columns=columns)
    await _assert_summaries_match_rows(sql)


async def test_writers_beside_one_another_are_all_counted(
    servers: Servers, database_name: str, sql: asyncpg.Connection
) -> None:
    """Adding and removing in the same hours, in every order, from several connections."""

    async def add_and_remove(seed: int) -> None:
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

    await asyncio.gather(*(add_and_remove(seed) for seed in range(6)))
    await _assert_summaries_match_rows(sql)


async def test_summaries_are_right_whatever_is_stated_beside_one_another(
    servers: Servers, database_name: str
) -> None:
    """`tests/acceptance/test_statements.py` goes on for longer."""
    seed = SystemRandom().randrange(10**9)
    await run_concurrently(lambda: asyncpg.connect(servers.plain_url(database_name)), seed, 200)


MIXED = {
    "upsert": "INSERT INTO prices SELECT 'deribit', 'btc_usd', slot, 7, 0, 'live' "
    "FROM generate_series(1800, 5400, 60) AS slot "
    "ON CONFLICT (exchange, ticker, timestamp) DO UPDATE SET price = excluded.price",
    "merge": "MERGE INTO prices USING generate_series(1800, 5400, 60) AS slot ON timestamp = slot "
    "WHEN MATCHED AND slot < 2400 THEN DELETE WHEN MATCHED THEN UPDATE SET price = 7 "
    "WHEN NOT MATCHED THEN INSERT VALUES ('deribit', 'btc_usd', slot, 7, 0, 'live')",
    "removing and adding": "WITH removed AS (DELETE FROM prices WHERE timestamp < 600 RETURNING *) "
    "INSERT INTO prices SELECT exchange, ticker, timestamp + 1800, price, 0, source FROM removed "
    "ON CONFLICT DO NOTHING",
    "removing all and adding": "WITH removed AS (DELETE FROM prices RETURNING *) "
    "INSERT INTO prices SELECT exchange, ticker, timestamp + 30, price, 0, source FROM removed",
    "changing and adding": "WITH changed AS (UPDATE prices SET timestamp = timestamp + 7200) "
    "INSERT INTO prices VALUES ('deribit', 'btc_usd', 3630, 7, 0, 'live')",
    "adding before and removing": "WITH removed AS (DELETE FROM prices WHERE timestamp > 60) "
    "INSERT INTO prices VALUES ('deribit', 'btc_usd', 3660, 7, 0, 'live')",
    "adding what is removed meanwhile": "INSERT INTO prices "
    "SELECT 'deribit', 'btc_usd', slot, remove(slot - 60), 0, 'live' "
    "FROM generate_series(7200, 7440, 60) AS slot",
}
REMOVE = """
CREATE FUNCTION remove(slot bigint) RETURNS bigint LANGUAGE sql VOLATILE AS $$
    WITH removed AS (DELETE FROM prices WHERE timestamp = slot) SELECT slot
$$
"""


@pytest.mark.parametrize("statement", MIXED.values(), ids=MIXED)
async def test_statement_that_does_several_things_counts_each_row_once(
    sql: asyncpg.Connection, statement: str
) -> None:
    await sql.execute(REMOVE)
    await store(sql, range(0, 3 * 1200, 60))
    await sql.execute(statement)
    await _assert_summaries_match_rows(sql)


async def test_rows_added_after_others_were_removed_in_a_transaction_count_once(
    sql: asyncpg.Connection,
) -> None:
    await store(sql, [0, 60])
    async with sql.transaction():
        await sql.execute("DELETE FROM prices WHERE timestamp = 60")
        await store(sql, [120])
        await sql.execute("TRUNCATE prices")
        await store(sql, [120, 3600])
    await store(sql, [60, 180])
    await _assert_summaries_match_rows(sql)


MOVED = "UPDATE prices SET timestamp = timestamp + 3600 WHERE timestamp < 120"
ADDED = "INSERT INTO prices VALUES ('deribit', 'btc_usd', 5400, 7, 0, 'live')"
EMPTIED = "DELETE FROM prices WHERE timestamp < 3600"
ADDED_AMONG = "INSERT INTO prices VALUES ('deribit', 'btc_usd', 90, 7, 0, 'live')"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (MOVED, ADDED),
        (ADDED, MOVED),
        (EMPTIED, ADDED_AMONG),
        (EMPTIED, MOVED),
        (ADDED_AMONG, EMPTIED),
        (ADDED_AMONG, MOVED),
    ],
)
async def test_writer_that_waited_for_another_counts_its_rows_too(
    servers: Servers, database_name: str, sql: asyncpg.Connection, first: str, second: str
) -> None:
    """Also in an hour that has no summary yet, or none any more."""
    await store(sql, range(0, 3600, 60))
    other = await asyncpg.connect(servers.plain_url(database_name))
    async with sql.transaction():
        await sql.execute(first)
        waiting = asyncio.create_task(other.execute(second))
        await until(lambda: sql.fetchval(IS_WAITING, other.get_server_pid()))
    await waiting
    await _assert_summaries_match_rows(sql)
    await other.close()


IS_WAITING = "SELECT cardinality(pg_blocking_pids($1)) > 0"


EMPTIED_NEXT = "DELETE FROM prices WHERE timestamp BETWEEN 3600 AND 7199"
UPSERTED = (
    "INSERT INTO prices VALUES ('deribit', 'btc_usd', 4800, 7, 0, 'live') "
    "ON CONFLICT (exchange, ticker, timestamp) DO UPDATE SET price = 8"
)


@pytest.mark.parametrize("statement", [MOVED, ADDED_AMONG, EMPTIED, UPSERTED, *MIXED.values()])
async def test_strict_transaction_that_saw_an_hour_before_it_was_emptied_ends_or_is_right(
    servers: Servers, database_name: str, sql: asyncpg.Connection, statement: str
) -> None:
    await sql.execute(REMOVE)
    await store(sql, [0, 60, 3600, 3660])
    other = await asyncpg.connect(servers.plain_url(database_name))
    with suppress(asyncpg.SerializationError):
        async with other.transaction(isolation="repeatable_read"):
            await other.fetch("SELECT FROM prices")
            await sql.execute("DELETE FROM prices WHERE timestamp >= 3600")
            await other.execute("DELETE FROM prices WHERE timestamp = 60")
            await other.execute(statement)
    await _assert_summaries_match_rows(sql)
    await other.close()


async def test_strict_transaction_counts_no_rows_of_an_emptied_hour_that_it_still_sees(
    servers: Servers, database_name: str, sql: asyncpg.Connection
) -> None:
    """Its own summary lies before the one that it still sees, in the table and in the index."""
    await store(sql, range(100 * HOUR, 400 * HOUR, HOUR))
    await store(sql, [3600, 3660])
    await sql.execute("DELETE FROM prices WHERE timestamp BETWEEN 100 * 3600 AND 150 * 3600")
    await sql.execute("VACUUM price_hours")
    other = await asyncpg.connect(servers.plain_url(database_name))
    with suppress(asyncpg.SerializationError):
        async with other.transaction(isolation="repeatable_read"):
            await other.fetch("SELECT FROM prices")
            await sql.execute(EMPTIED_NEXT)
            await other.execute(UPSERTED)
    await _assert_summaries_match_rows(sql)
    await other.close()


async def test_writers_search_path_and_temporary_tables_lead_no_trigger_astray(
    sql: asyncpg.Connection,
) -> None:
    for table in ("prices", "price_hours", "price_changes"):
        await sql.execute(f"CREATE TEMPORARY TABLE {table} (LIKE public.{table} INCLUDING ALL)")
    noted = "SELECT count(*) FROM public.price_changes"
    before = await sql.fetchval(noted)
    await sql.execute("SET search_path = ''")
    await sql.execute("INSERT INTO public.prices VALUES ('deribit', 'btc_usd', 60, 7, 0, 'live')")
    await sql.execute("UPDATE public.prices SET timestamp = 7200")
    assert await sql.fetchval("SELECT hour FROM public.price_hours") == 7200
    assert await sql.fetchval(noted) == before + 3
    await sql.execute("DELETE FROM public.prices")
    assert await sql.fetchval("SELECT count(*) FROM public.price_hours") == 0
    await sql.execute("TRUNCATE public.prices")
    assert await sql.fetchval(noted) == before + 5
