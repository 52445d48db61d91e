"""The staging table of an import: holds a file's rows, and inserts them in the order of time."""

import io
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

from sqlalchemy import TextClause, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.prices import TickerKey
from app.domain.recordings import Recording
from app.domain.slots import Slot
from app.repositories import creation_times
from app.repositories.prices import PriceId

INDEX_TIMEOUT_SECONDS: Final = 3600.0
"""Sorting a file of a hundred million rows takes minutes."""

_CREATE = text(
    """
    CREATE TEMPORARY TABLE staged (
        exchange text, ticker text, slot bigint, timestamp_us bigint,
        price numeric, observed_us bigint
    )
    """
)
_BUILD_INDEX = """
    CREATE INDEX ON staged ({columns});
    ANALYZE staged
"""
_COLUMNS = "exchange, ticker, slot, timestamp_us"
_COLUMNS_OF_ONE_TICKER = "slot, timestamp_us"
"""Takes a third of the time to sort."""
_STAGED_RANGES = text(
    """
    SELECT exchange, ticker, first, last, EXISTS (
        SELECT FROM prices WHERE exchange = ranges.exchange AND ticker = ranges.ticker
        AND timestamp BETWEEN first AND last
    )
    FROM (
        SELECT exchange, ticker, min(slot) AS first, max(slot) AS last
        FROM staged GROUP BY 1, 2 ORDER BY 1, 2
    ) AS ranges
    """
)
_FIRST_BETWEEN_SLOTS = text(
    """
    SELECT min(slot) FROM staged
    WHERE exchange = :exchange AND ticker = :ticker AND slot >= :first
      AND (CAST(:last AS bigint) IS NULL OR slot < CAST(:last AS bigint) + :interval)
      AND slot % :interval <> 0
    """
)
_INSERT = """
    WITH block AS MATERIALIZED (
        SELECT DISTINCT ON (slot) slot, price, coalesce(observed_us, slot * 1000000) AS observed_us
        FROM staged
        WHERE exchange = :exchange AND ticker = :ticker AND slot > :after
        ORDER BY slot, timestamp_us LIMIT :limit
    ), added AS (
        INSERT INTO prices (exchange, ticker, timestamp, price, observed_us, source, created_at)
        SELECT :exchange, :ticker, slot, price, observed_us, 'import', (SELECT clock_timestamp())
        FROM block {on_conflict}
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM added), (SELECT max(slot) FROM block)
"""
_INSERT_ALL = text(_INSERT.format(on_conflict=""))
_INSERT_NEW = text(_INSERT.format(on_conflict="ON CONFLICT DO NOTHING"))


class StagedRange(NamedTuple):
    """A ticker's first and last staged slot, and whether prices between them are already stored."""

    key: TickerKey
    first: Slot
    last: Slot
    has_stored_prices: bool

    def fraction_through(self, slot: int) -> float:
        """Return which part of the range ends with a slot, which counts as done, from 0 to 1."""
        return (slot - self.first + 1) / (self.last - self.first + 1)


class InsertedBlock(NamedTuple):
    """An inserted block: the number of new rows, and its last slot; None if nothing was left."""

    added: int
    last: Slot | None


class StagingTable:
    """A temporary table of the session with the rows of one file."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def create(self) -> None:
        """Create the table."""
        await self._session.execute(_CREATE)

    async def copy_rows(self, rows: bytes) -> None:
        """Copy rows into the table, given as lines of comma-separated columns."""
        driver = await self._driver()
        await driver.copy_to_table("staged", source=io.BytesIO(rows), format="csv")

    async def build_index(self) -> list[StagedRange]:
        """Build the index once all rows are copied, and return the range of each ticker."""
        rows = (await self._session.execute(_STAGED_RANGES)).all()
        columns = _COLUMNS_OF_ONE_TICKER if len(rows) == 1 else _COLUMNS
        driver = await self._driver()
        await driver.execute(_BUILD_INDEX.format(columns=columns), timeout=INDEX_TIMEOUT_SECONDS)
        return [
            StagedRange(TickerKey(row[0], row[1]), Slot(row[2]), Slot(row[3]), row[4])
            for row in rows
        ]

    async def first_between_slots(self, recording: Recording) -> Slot | None:
        """Return the first staged slot that lies between the slots of a recording; None without."""
        first: int | None = await self._session.scalar(
            _FIRST_BETWEEN_SLOTS,
            {
                **recording.key._asdict(),
                "first": recording.first_slot,
                "last": recording.last_slot,
                "interval": recording.interval_seconds,
            },
        )
        return None if first is None else Slot(first)

    async def insert_block(self, staged: StagedRange, after: int, limit: int) -> InsertedBlock:
        """Insert the next slots of a range in one transaction; the earliest row of a slot wins.

        Stored prices stay unchanged.
        """
        block = {**staged.key._asdict(), "after": after, "limit": limit}
        if not staged.has_stored_prices:  # a third faster
            with suppress(IntegrityError):  # a price was stored meanwhile
                return await self._insert(_INSERT_ALL, staged.key, block)
        return await self._insert(_INSERT_NEW, staged.key, block)

    async def _insert(
        self, statement: TextClause, key: TickerKey, block: Mapping[str, Any]
    ) -> InsertedBlock:
        driver = await self._driver()
        async with driver.transaction():
            inserted = InsertedBlock(*(await self._session.execute(statement, block)).one())
            if inserted.last is not None:
                ends = [PriceId(key, Slot(block["after"])), PriceId(key, inserted.last)]
                await creation_times.renew_if_old(self._session, ends)
        return inserted

    async def _driver(self) -> Any:  # noqa: ANN401  # asyncpg ships no types
        """Return the driver's connection, because SQLAlchemy has no COPY."""
        connection = await self._session.connection()
        return (await connection.get_raw_connection()).driver_connection
