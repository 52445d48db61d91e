"""Gaps at a real size: exactly those that are there, and quickly."""

import csv
import gzip
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from itertools import islice
from pathlib import Path
from random import Random

import asyncpg
import pytest

from app.domain.coverage import CoveragePeriod, PeriodQuery
from app.domain.gaps import Gap
from app.domain.prices import Price, Source, TickerKey, TimeRange
from app.domain.recordings import Recording
from app.domain.slots import Slot
from app.postgres.database import Database
from app.repositories import gaps, prices, recordings
from app.services.coverage import CoverageService

pytestmark = pytest.mark.accept

BTC = TickerKey("deribit", "btc_usd")
START = 1_600_000_020
MILLION = 1_000_000
ROUNDS = 7
RECORDINGS_DIR = Path(__file__).resolve().parents[3] / "shared" / "recording"
YEARS = {
    "btc": (505_209, 20_391, 37),
    "eth": (414_314, 111_282, 151),
}

FILL = """
INSERT INTO prices (exchange, ticker, timestamp, price, observed_us, source)
SELECT 'deribit', 'btc_usd', $1 + minute * 60, 50000 + minute % 997 / 8.0, 0, 'import'
FROM generate_series(0, $2::bigint - 1) AS minute
"""
_GAPS_BY_WINDOW_FUNCTION = """
SELECT timestamp + 60, following - 60
FROM (
    SELECT timestamp, lead(timestamp) OVER (ORDER BY timestamp) AS following
    FROM prices WHERE exchange = 'deribit' AND ticker = 'btc_usd'
) AS neighbours
WHERE following - timestamp > 60
ORDER BY 1
"""

_ROWS_BY_DAY = """
SELECT timestamp / 86400 * 86400, count(*)
FROM prices WHERE exchange = 'deribit' AND ticker = 'btc_usd'
GROUP BY 1 ORDER BY 1
"""


async def _add_recording(database: Database, first: int, last: int) -> None:
    async with database.transaction() as session:
        await recordings.upsert(session, [Recording(BTC, 60, Slot(first), Slot(last))])


def _merge(minutes: list[int]) -> list[Gap]:
    """Join minutes that follow one another, in plain words."""
    runs: list[Gap] = []
    for minute in sorted(minutes):
        slot = Slot(START + minute * 60)
        if runs and runs[-1].last == slot - 60:
            runs[-1] = runs[-1]._replace(last=slot)
        else:
            runs.append(Gap(slot, slot, 60))
    return runs


async def _median_seconds(work: Callable[[], Awaitable[object]]) -> float:
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        await work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


async def test_seventeen_minutes_of_a_million_are_found_quickly(
    database: Database, sql: asyncpg.Connection
) -> None:
    await sql.execute(FILL, START, MILLION)
    await _add_recording(database, START, START + (MILLION - 1) * 60)
    removed = Random(17).sample(range(1, MILLION - 1), 14)  # noqa: S311  # reproducible
    removed += [removed[0] + 1, removed[0] + 2, removed[5] - 1]
    await sql.execute(
        "DELETE FROM prices WHERE timestamp = ANY($1::bigint[])",
        [START + minute * 60 for minute in removed],
    )
    await sql.execute("VACUUM ANALYZE prices, price_hours")

    async def gaps_by_service() -> list[Gap]:
        async with database.read_committed() as session:
            return (await gaps.find(session, {BTC: 0}, TimeRange()))[BTC]

    async def gaps_by_window_function() -> list[Gap]:
        rows = await sql.fetch(_GAPS_BY_WINDOW_FUNCTION)
        return [Gap(Slot(row[0]), Slot(row[1]), 60) for row in rows]

    assert len(set(removed)) == 17
    assert await gaps_by_service() == await gaps_by_window_function() == _merge(removed)
    ours, theirs = (
        await _median_seconds(gaps_by_service),
        await _median_seconds(gaps_by_window_function),
    )
    assert ours < theirs / 4, f"{ours:.4f} s by hours, {theirs:.4f} s by lead()"


async def test_year_is_counted_by_day_twice_as_fast_as_from_rows(
    database: Database, sql: asyncpg.Connection, record_property: Callable[[str, object], None]
) -> None:
    minutes = 365 * 1_440
    await sql.execute(FILL, START, minutes)
    await _add_recording(database, START, START + (minutes - 1) * 60)
    removed = Random(17).sample(range(minutes), 2_000)  # noqa: S311  # reproducible
    await sql.execute(
        "DELETE FROM prices WHERE timestamp = ANY($1::bigint[])",
        [START + minute * 60 for minute in removed],
    )
    await sql.execute("VACUUM ANALYZE prices, price_hours")
    await sql.execute("SET jit = off")
    query = PeriodQuery(BTC, TimeRange(), CoveragePeriod.DAY, 1000)
    service = CoverageService(database)

    async def imported_by_service() -> dict[int, int]:
        measured = await service.measure_by_period(query)
        assert measured.slot_counts.missing == len(removed)
        return {start: counts.imported for start, counts in measured.periods.items()}

    async def imported_by_rows() -> dict[int, int]:
        return dict(await sql.fetch(_ROWS_BY_DAY))

    assert await imported_by_service() == await imported_by_rows()
    ours, theirs = (
        await _median_seconds(imported_by_service),
        await _median_seconds(imported_by_rows),
    )
    times = f"{ours:.4f} s by hours, {theirs:.4f} s by rows"
    record_property("year by day", times)
    assert ours < theirs / 2, times


def _prices(name: str) -> Iterator[Price]:
    with gzip.open(RECORDINGS_DIR / f"{name}_usd_1m_2017_bitfinex.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            slot = Slot(int(row["timestamp_unix_s"]))
            yield Price(BTC, slot, Decimal(row["price"]), slot * 1_000_000, Source.IMPORT)


@pytest.mark.skipif(not RECORDINGS_DIR.exists(), reason="the recorded year is too large to ship")
@pytest.mark.parametrize("name", YEARS)
async def test_missing_minutes_of_a_real_year_are_counted(database: Database, name: str) -> None:
    rows, missing, longest = YEARS[name]
    recorded, slots, added = _prices(name), [], 0
    while batch := list(islice(recorded, 20_000)):
        slots += [batch[0].slot, batch[-1].slot]
        async with database.transaction() as session:
            added += len(await prices.insert_new(session, batch))
    await _add_recording(database, slots[0], slots[-1])
    (found,) = await CoverageService(database).measure(TimeRange())
    assert (added, found.slot_counts.imported) == (rows, rows)
    assert found.slot_counts.missing == sum(gap.missing for gap in found.gaps) == missing
    assert found.longest_gap == longest
