"""The stage of an import: a file's rows, from which they are stored in the order of time."""

import io
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import Any, Final, NamedTuple

from sqlalchemy import BigInteger, Text, TextClause, bindparam, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.prices import TickerKey
from app.domain.slots import Slot

INDEX_TIMEOUT_SECONDS: Final = 3600.0
"""Sorting a file of a hundred million rows takes minutes."""

_BEGIN = text(
    """
    CREATE TEMPORARY TABLE staged (
        exchange text, ticker text, slot bigint, moment_us bigint, price numeric, observed_us bigint
    )
    """
)
_SETTLE = """
    CREATE INDEX ON staged ({columns});
    ANALYZE staged
"""
_COLUMNS = "exchange, ticker, slot, moment_us"
_COLUMNS_OF_ONE_TICKER = "slot, moment_us"
"""Sorted in a third of the time."""
_RUNS = text(
    """
    SELECT exchange, ticker, first, last, EXISTS (
        SELECT FROM prices WHERE exchange = runs.exchange AND ticker = runs.ticker
        AND timestamp BETWEEN first AND last
    )
    FROM (
        SELECT exchange, ticker, min(slot) AS first, max(slot) AS last
        FROM staged GROUP BY 1, 2 ORDER BY 1, 2
    ) AS runs
    """
)
_ADD = """
    WITH block AS MATERIALIZED (
        SELECT DISTINCT ON (slot) slot, price, coalesce(observed_us, slot * 1000000) AS observed_us
        FROM staged
        WHERE exchange = :exchange AND ticker = :ticker AND slot > :after
        ORDER BY slot, moment_us LIMIT :limit
    ), added AS (
        INSERT INTO prices (exchange, ticker, timestamp, price, observed_us, source)
        SELECT :exchange, :ticker, slot, price, observed_us, 'import' FROM block {among}
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM added), (SELECT max(slot) FROM block)
"""
_ADD_ALL = _ADD.format(among="")
_ADD_AMONG = _ADD.format(among="ON CONFLICT DO NOTHING")


class StagedRange(NamedTuple):
    """The first and the last slot that is staged of a ticker; whether prices lie among them."""

    key: TickerKey
    first: Slot
    last: Slot
    has_stored_prices: bool

    def fraction_before(self, slot: int) -> float:
        """Tell which part of it ends with a slot, from 0 to 1."""
        return (slot - self.first + 1) / (self.last - self.first + 1)


class InsertedBlock(NamedTuple):
    """What a block did: how many rows it added, and its last slot; None if nothing was left."""

    added: int
    last: Slot | None


class StagingTable:
    """Holds the rows of one file in a temporary table of the session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def create(self) -> None:
        """Make the table."""
        await self._session.execute(_BEGIN)

    async def copy_rows(self, rows: bytes) -> None:
        """Add rows, given as lines of comma-separated columns."""
        driver = await self._driver()
        await driver.copy_to_table("staged", source=io.BytesIO(rows), format="csv")

    async def build_index(self) -> list[StagedRange]:
        """Sort the rows, once all are there; tell how far they reach."""
        rows = (await self._session.execute(_RUNS)).all()
        columns = _COLUMNS_OF_ONE_TICKER if len(rows) == 1 else _COLUMNS
        driver = await self._driver()
        await driver.execute(_SETTLE.format(columns=columns), timeout=INDEX_TIMEOUT_SECONDS)
        return [
            StagedRange(TickerKey(row[0], row[1]), Slot(row[2]), Slot(row[3]), row[4])
            for row in rows
        ]

    async def insert_block(self, run: StagedRange, after: int, limit: int) -> InsertedBlock:
        """Store the next slots of a run in one transaction; the earliest row of a slot wins.

        A price that is there stays as it is.
        """
        block = {**run.key._asdict(), "after": after, "limit": limit}
        if not run.has_stored_prices:  # a third faster
            with suppress(IntegrityError):  # something is there by now
                return await self._add(_ADD_ALL, block)
        return await self._add(_ADD_AMONG, block)

    async def _add(self, query: str, block: Mapping[str, object]) -> InsertedBlock:
        added, last = (await self._session.execute(_bound(query), block)).one()
        return InsertedBlock(added, None if last is None else Slot(last))

    async def _driver(self) -> Any:  # noqa: ANN401  # asyncpg ships no types
        """Give the connection itself, for SQLAlchemy knows no COPY."""
        connection = await self._session.connection()
        return (await connection.get_raw_connection()).driver_connection


@cache
def _bound(query: str) -> TextClause:
    return text(query).bindparams(
        bindparam("exchange", type_=Text),
        bindparam("ticker", type_=Text),
        bindparam("after", type_=BigInteger),
    )
