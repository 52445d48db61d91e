"""The demo's history: the prices that the simulated exchange had in the days before."""

import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from app.core.settings import Settings, load_settings
from app.domain.prices import Price, Source, TickerKey
from app.domain.recordings import realign
from app.domain.slots import MICROSECONDS, SECONDS_PER_DAY, Slot, floor_slot
from app.postgres.database import Database
from app.repositories import prices, recordings
from app.simulator import index_prices

DAYS: Final = 2
MAX_SLOTS: Final = 2_880  # two days of minutes; of shorter intervals it is less time
MAX_ROWS: Final = 100_000  # of all tickers together


async def seed(settings: Settings, database_url: str) -> None:
    """Store the last two days of every ticker, up to the oldest price that is stored.

    Slots that were missed while the demo did not run are left to the repair.
    """
    database = Database(database_url, pool_size=1)
    keys = [TickerKey(*index) for index in settings.indices]
    interval = settings.collect_interval_seconds
    try:
        async with database.read_committed() as session:
            now_us = await prices.database_now_us(session)
            known = await prices.extents(session)
        slots = past_slots(now_us, interval, len(keys))
        first_slots = await _open_recordings(database, keys, interval, slots[0])
        earliest = {key: extent.first for key, extent in known.items()}
        rows = [
            price
            for key in keys
            for price in _missing_prices(key, slots, first_slots[key], earliest.get(key))
        ]
        async with database.transaction() as session:
            await prices.insert_new(session, rows)
    finally:
        await database.close()


def past_slots(now_us: int, interval_seconds: int, tickers: int) -> Sequence[Slot]:
    """Return the ended slots of the last two days, fewer if the rows would exceed the limits."""
    count = min(DAYS * SECONDS_PER_DAY // interval_seconds, MAX_SLOTS, MAX_ROWS // tickers)
    interval_us = interval_seconds * MICROSECONDS
    ages = range(max(count, 1), 0, -1)
    return [floor_slot(now_us - age * interval_us, interval_seconds) for age in ages]


async def _open_recordings(
    database: Database, keys: Sequence[TickerKey], interval_seconds: int, oldest: Slot
) -> Mapping[TickerKey, Slot]:
    """Open the recordings, new ones from the oldest slot on; return each one's first slot."""
    async with database.transaction() as session:
        await recordings.lock_recordings(session)
        known = await recordings.newest(session)
        database_us, edges = await prices.read_latest_live(session, {*keys, *known})
        changes = realign(known, keys, interval_seconds, edges, database_us)
        await recordings.upsert(session, changes)
        new = dict.fromkeys(set(keys) - known.keys(), oldest)
        await recordings.extend_open_start(session, new)
    current = {**known, **{change.key: change for change in changes}}
    return {key: recording.first_slot for key, recording in current.items()} | new


def _missing_prices(
    key: TickerKey, slots: Sequence[Slot], first: Slot, earliest: int | None
) -> Iterator[Price]:
    """Yield a ticker's prices from the first slot of its recording to the oldest stored one."""
    stop = slots[-1] + 1 if earliest is None else earliest
    missing = [slot for slot in slots if first <= slot < stop]
    for slot, price in zip(missing, index_prices(key.ticker, missing), strict=True):
        yield Price(key, slot, price, slot * MICROSECONDS, Source.IMPORT)


if __name__ == "__main__":
    # the address is an argument, so that invented prices never reach the DATABASE_URL of a user
    asyncio.run(seed(load_settings(), sys.argv[1]))
