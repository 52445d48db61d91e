"""Random statements that add, change and remove prices, from several connections at once."""
# ruff: noqa: S608  # statements are put together from the constants here

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby
from random import Random
from typing import Any

import asyncpg

HOUR = 3600
STEP = 300
SLOTS = range(HOUR, 5 * HOUR, STEP)
TICKERS = ("btc_usd", "eth_usd")
SOURCES = ("live", "backfill", "import")
DAY = 86_400
EXPECTED = (
    asyncpg.UniqueViolationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.CardinalityViolationError,  # MERGE meets a row twice
    asyncpg.TriggeredDataChangeViolationError,
)
"""What statements that meet may end with."""

Row = tuple[str, str, int, Decimal, int, str]
Hour = dict[str, Any]

COLUMNS = "exchange, ticker, timestamp, price, observed_us, source"
GIVEN = """
SELECT * FROM unnest($1::text[], $2::bigint[], $3::numeric[], $4::text[])
AS given (ticker, timestamp, price, source)
"""
INSERT = f"""
INSERT INTO prices ({COLUMNS})
SELECT 'deribit', ticker, timestamp, price, 0, source FROM ({GIVEN}) AS given
"""
"""Rows come as four arrays: tickers, slots, prices, sources."""

MEDDLE = """
CREATE FUNCTION meddle(what bigint, of_ticker text, slot bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
    CASE what
        WHEN 0 THEN DELETE FROM prices WHERE ticker = of_ticker AND timestamp = slot;
        WHEN 1 THEN DELETE FROM prices WHERE ticker = of_ticker AND timestamp < slot;
        WHEN 2 THEN UPDATE prices SET price = price + 1
            WHERE ticker = of_ticker AND timestamp > slot;
        WHEN 3 THEN INSERT INTO prices VALUES ('deribit', of_ticker, slot + 7, 5, 0, 'live')
            ON CONFLICT DO NOTHING;
        ELSE NULL;
    END CASE;
    RETURN what;
END $$
"""
"""A function that changes prices while a statement that calls it does."""

INSERTS = {
    "insert": INSERT,
    "insert, do nothing": f"{INSERT} ON CONFLICT DO NOTHING",
    "insert, do update": f"{INSERT} ON CONFLICT (exchange, ticker, timestamp) DO UPDATE "
    "SET price = excluded.price, source = excluded.source",
    "insert, do update and move": f"{INSERT} ON CONFLICT (exchange, ticker, timestamp) DO UPDATE "
    "SET timestamp = prices.timestamp + 3607",
    "merge": f"""
        MERGE INTO prices USING ({GIVEN}) AS given
        ON prices.ticker = given.ticker AND prices.timestamp = given.timestamp
        WHEN MATCHED AND given.source = 'import' THEN DELETE
        WHEN MATCHED AND given.source = 'live' THEN UPDATE SET timestamp = prices.timestamp + 3601
        WHEN MATCHED THEN UPDATE SET price = given.price
        WHEN NOT MATCHED THEN INSERT ({COLUMNS})
            VALUES ('deribit', given.ticker, given.timestamp, given.price, 0, given.source)
    """,
    "delete and insert": f"""
        WITH removed AS (
            DELETE FROM prices WHERE timestamp % 7200 < 1800 AND ticker = ($1::text[])[1]
        ) {INSERT} ON CONFLICT DO NOTHING
    """,
    "delete, update and insert": f"""
        WITH removed AS (DELETE FROM prices WHERE timestamp % 900 = 0),
        changed AS (UPDATE prices SET price = price + 1 WHERE timestamp % 900 = 300)
        {INSERT} ON CONFLICT DO NOTHING
    """,
    "insert, calling a function that changes": f"""
        INSERT INTO prices ({COLUMNS})
        SELECT 'deribit', ticker, timestamp, price,
               meddle(price::bigint % 6, ticker, timestamp - 300), source
        FROM ({GIVEN}) AS given ON CONFLICT DO NOTHING
    """,
}
"""Statements that are given rows."""

OTHERS = {
    "move rows": "UPDATE prices SET timestamp = timestamp + 5403 WHERE ticker = $1 AND "
    "timestamp BETWEEN $2 AND $2 + 1500",
    "move a ticker's rows": "UPDATE prices SET ticker = ticker || 'x' WHERE ticker = $1 AND "
    "timestamp BETWEEN $2 AND $2 + 900",
    "update": "UPDATE prices SET price = price * 2, source = 'import' WHERE ticker = $1 AND "
    "timestamp BETWEEN $2 AND $2 + 2400",
    "delete": "DELETE FROM prices WHERE ticker LIKE $1 || '%' AND "
    "timestamp BETWEEN $2 AND $2 + 4000",
    "delete a ticker": "DELETE FROM prices WHERE ticker = $1 AND $2::bigint >= 0",
    "move by delete and insert": f"""
        WITH removed AS (
            DELETE FROM prices WHERE ticker = $1 AND timestamp BETWEEN $2 AND $2 + 4000 RETURNING *
        )
        INSERT INTO prices ({COLUMNS})
        SELECT exchange, ticker, timestamp + 1802, price, observed_us, source FROM removed
        ON CONFLICT DO NOTHING
    """,
}
"""Statements that are given a ticker and a slot."""


@dataclass
class Statements:
    """Runs statements and counts what became of them."""

    connect: Callable[[], Awaitable[asyncpg.Connection]]
    done: "Counter[str]" = field(default_factory=Counter)
    failed: "Counter[str]" = field(default_factory=Counter)

    async def run(self, random: Random, number: int) -> None:
        """Run transactions on a connection of one's own until so many statements were done."""
        connection = await self.connect()
        await connection.execute("SET deadlock_timeout = '20ms'")
        try:
            while self.done.total() < number:
                await self._transaction(connection, random)
        finally:
            await connection.close()

    async def _transaction(self, connection: asyncpg.Connection, random: Random) -> None:
        isolation = random.choice(["READ COMMITTED"] * 6 + ["REPEATABLE READ", "SERIALIZABLE"])
        await connection.execute(f"BEGIN ISOLATION LEVEL {isolation}")
        try:
            for _ in range(random.choice([1, 1, 1, 2, 4])):
                await self._run_with_savepoint(connection, random)
            await connection.execute("ROLLBACK" if random.random() < 0.1 else "COMMIT")
        except EXPECTED as error:
            self.failed[type(error).__name__] += 1
            await connection.execute("ROLLBACK")

    async def _run_with_savepoint(self, connection: asyncpg.Connection, random: Random) -> None:
        """Do one statement, or one after a savepoint that is returned to if it fails, or so."""
        if random.random() < 0.7:
            await self._run_one(connection, random)
            return
        await connection.execute("SAVEPOINT before")
        try:
            await self._run_one(connection, random)
        except EXPECTED as error:
            self.failed[type(error).__name__] += 1
            await connection.execute("ROLLBACK TO before")
        else:
            if random.random() < 0.5:
                await connection.execute("ROLLBACK TO before")

    async def _run_one(self, connection: asyncpg.Connection, random: Random) -> None:
        name = random.choice([*INSERTS, *OTHERS, "insert", "copy", "copy"])
        if random.random() < 0.01:
            name = "truncate"
        await _perform(connection, name, random)
        self.done[name] += 1


async def _perform(connection: asyncpg.Connection, name: str, random: Random) -> None:
    rows = list(random_rows(random))
    if name == "truncate":
        await connection.execute("TRUNCATE prices")
    elif name == "copy":
        await connection.copy_records_to_table("prices", records=rows, columns=COLUMNS.split(", "))
    elif name in INSERTS:
        columns = list(zip(*rows, strict=True))
        await connection.execute(INSERTS[name], *(columns[i] for i in (1, 2, 3, 5)))
    else:
        await connection.execute(OTHERS[name], random.choice(TICKERS), random.choice(SLOTS))


def random_rows(random: Random) -> Iterator[Row]:
    """Give rows of different slots; now and then many, in any order."""
    slots = random.sample(SLOTS, random.choice([1, 1, 2, 5, 20]))
    for slot in slots:
        ticker, price = random.choice(TICKERS), Decimal(random.randrange(1, 900)) / 8
        yield "deribit", ticker, slot + random.choice([0, 0, 1]), price, 0, random.choice(SOURCES)


async def wrong_hours(connection: asyncpg.Connection) -> list[tuple[Hour | None, Hour | None]]:
    """Compare the summaries of one moment with what its rows say; give those that differ."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        # before the first look, for TRUNCATE empties what older looks see
        await connection.execute("LOCK TABLE prices, price_hours IN ACCESS SHARE MODE")
        kept = await connection.fetch("SELECT * FROM price_hours")
        rows = await connection.fetch("SELECT * FROM prices")
    is_said = {_key(row): dict(row) for row in kept}
    is_true = {_key(hour): hour for hour in _expected_hours(rows)}
    keys = sorted(is_said.keys() | is_true.keys())
    pairs = ((is_said.get(key), is_true.get(key)) for key in keys)
    return [(said, true) for said, true in pairs if said != true]


def _expected_hours(rows: list[asyncpg.Record]) -> Iterator[Hour]:
    def hour_of(row: asyncpg.Record) -> tuple[str, str, int]:
        return row["exchange"], row["ticker"], row["timestamp"] // HOUR * HOUR

    ordered = sorted(rows, key=lambda row: (hour_of(row), row["timestamp"]))
    for (exchange, ticker, hour), grouped in groupby(ordered, hour_of):
        group = list(grouped)
        slots, prices = ([row[name] for row in group] for name in ("timestamp", "price"))
        sources = Counter(row["source"] for row in group)
        yield {
            "exchange": exchange,
            "ticker": ticker,
            "hour": hour,
            "open": prices[0],
            "high": max(prices),
            "low": min(prices),
            "close": prices[-1],
            "first_slot": slots[0],
            "last_slot": slots[-1],
            "samples": len(group),
            "backfilled": sources["backfill"],
            "imported": sources["import"],
            "grid_seconds": math.gcd(DAY, *slots),
        }


def _key(hour: Any) -> tuple[str, str, int]:  # noqa: ANN401  # a record or a dictionary
    return hour["exchange"], hour["ticker"], hour["hour"]


async def run_concurrently(
    connect: Callable[[], Awaitable[asyncpg.Connection]], seed: int, number: int
) -> Statements:
    """Run so many statements from four connections; at each moment every hour must be right."""
    print(f"seed {seed}")  # noqa: T201  # shown where the test fails
    statements, checker = Statements(connect), await connect()
    await checker.execute(MEDDLE)
    randoms = [Random(f"{seed} {i}") for i in range(4)]  # noqa: S311  # no secret
    running = asyncio.gather(*(statements.run(random, number) for random in randoms))
    try:
        while not running.done():
            assert (seed, await wrong_hours(checker)) == (seed, [])
            await asyncio.wait([running], timeout=0.02)
        await running
        assert (seed, await wrong_hours(checker)) == (seed, [])
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await checker.close()
    return statements
