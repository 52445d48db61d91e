"""The process that writes at full speed while answers are checked.

It logs a line of JSON for each commit: the ticker, the version, when it began and when it was
known to be committed, on the clock that all processes of a machine share.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Final, TextIO

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.prices import Price, Source, TickerKey
from app.domain.slots import Slot
from app.postgres.database import Database
from app.repositories import prices
from benchmarks.environment import TAIL, TIDE

TIDE_ROWS: Final = 240
START: Final = 1_600_000_020
NEVER: Final = Decimal("0.5")
"""What a price has on top in transactions that are rolled back."""
ROLLED_BACK_EVERY: Final = 3
_REMOVE = text("DELETE FROM prices WHERE exchange = 'deribit' AND ticker = :ticker")


class _Undone(Exception):
    """Ends a transaction that was never meant to be committed."""


class Writer:
    """Writes versions of a ticker, one after the other."""

    def __init__(self, database: Database, log: TextIO, ends_at: float) -> None:
        self._database = database
        self._log = log
        self._ends_at = ends_at

    async def tide(self) -> None:
        """Replace all rows of a ticker in each transaction; a row's price is the version."""
        for version in count(1):
            if not await self._write(TIDE, version, removes=True):
                return

    async def tail(self) -> None:
        """Add a row in each transaction; its price is its number."""
        for version in count(1):
            if not await self._write(TAIL, version, removes=False):
                return

    async def _write(self, ticker: str, version: int, *, removes: bool) -> bool:
        """Commit a version, now and then after one that is taken back; False when time is up."""
        if version % ROLLED_BACK_EVERY == 0:
            with suppress(_Undone):
                async with self._database.transaction() as session:
                    await self._put(session, ticker, version + NEVER, removes=removes)
                    raise _Undone
        began = time.monotonic()
        async with self._database.transaction() as session:
            await self._put(session, ticker, Decimal(version), removes=removes)
        line = {"ticker": ticker, "version": version, "began": began, "at": time.monotonic()}
        self._log.write(json.dumps(line) + "\n")
        return time.monotonic() < self._ends_at

    async def _put(
        self, session: AsyncSession, ticker: str, price: Decimal, *, removes: bool
    ) -> None:
        if removes:
            await session.execute(_REMOVE, {"ticker": ticker})
        await prices.insert_new(session, _rows(ticker, price, TIDE_ROWS if removes else 1))


def slot_of(version: int) -> Slot:
    """Give the slot of a row by its number."""
    return Slot(START + 60 * version)


def _rows(ticker: str, price: Decimal, amount: int) -> Sequence[Price]:
    first = 0 if amount > 1 else int(price)
    slots = map(slot_of, range(first, first + amount))
    key = TickerKey("deribit", ticker)
    return [Price(key, slot, price, slot * 1_000_000, Source.LIVE) for slot in slots]


async def write(url: str, path: Path, seconds: float) -> None:
    """Write both tickers at full speed for a while."""
    database = Database(url, pool_size=2)
    ends_at = time.monotonic() + seconds
    with path.open("w") as log:
        writer = Writer(database, log, ends_at)
        await asyncio.gather(writer.tide(), writer.tail())
    await database.close()


if __name__ == "__main__":
    asyncio.run(write(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])))
