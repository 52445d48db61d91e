"""Slots counted by day and by hour: the same as brute force counts."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from random import Random

import asyncpg
import pytest

from app.domain.coverage import CoveragePeriod, PeriodQuery, SlotCounts
from app.domain.prices import TickerKey, TimeRange
from app.domain.recordings import Recording
from app.domain.slots import MICROSECONDS, Slot
from app.postgres.database import Database
from app.repositories import gaps, recordings
from tests.domain.specified_gaps import find_missing

BTC = TickerKey("deribit", "btc_usd")
HOUR = 3600
DAY = 24 * HOUR
SOURCES = ("live", "backfill", "import")
EVERYTHING = TimeRange()
FAR_IN_THE_FUTURE = 10**6 * DAY * MICROSECONDS


@dataclass(frozen=True)
class Case:
    """The recordings of a ticker, its rows by slot, and the exchange's clock."""

    promised: Sequence[Recording]
    sources: Mapping[int, str]
    exchange_now_us: int = FAR_IN_THE_FUTURE

    def promised_slots(self, span: TimeRange) -> Iterator[int]:
        for recording in self.promised:
            for gap in find_missing(recording, self.exchange_now_us, span, ()):
                yield from range(gap.first, gap.last + 1, gap.interval_seconds)

    def counts(self, span: TimeRange, period: CoveragePeriod) -> dict[int, SlotCounts]:
        """Count the slots in plain words."""
        counted: dict[int, Counter[str]] = {}
        for slot in self.promised_slots(span):
            of_period = counted.setdefault(slot // period.seconds * period.seconds, Counter())
            of_period.update(["expected", self.sources.get(slot, "missing")])
        return {
            start: SlotCounts(slots["expected"], slots["live"], slots["backfill"], slots["import"])
            for start, slots in sorted(counted.items())
        }

    async def store(self, database: Database, sql: asyncpg.Connection) -> None:
        async with database.transaction() as session:
            await recordings.upsert(session, self.promised)
        columns = ["exchange", "ticker", "timestamp", "price", "observed_us", "source"]
        rows = [(*BTC, slot, Decimal(5), 0, source) for slot, source in self.sources.items()]
        await sql.copy_records_to_table("prices", records=rows, columns=columns)


async def _count(
    database: Database,
    case: Case,
    period: CoveragePeriod,
    span: TimeRange = EVERYTHING,
    limit: int = 10_000,
) -> dict[int, SlotCounts]:
    async with database.read_committed() as session:
        query = PeriodQuery(BTC, span, period, limit)
        return await gaps.count_by_period(session, query, case.exchange_now_us)


def _recording(first: int, last: int | None, step: int = 60) -> Recording:
    return Recording(BTC, step, Slot(first), None if last is None else Slot(last))


def _random_case(random: Random) -> Case:
    """Make recordings at changing intervals that start and end anywhere, with rows beside them."""
    promised, rows, start = [], [], random.randrange(2 * DAY)
    for _ in range(random.randint(1, 4)):
        step = random.choice([27, 60, 60, 300, 900, HOUR, 2 * HOUR, DAY])
        first = -(-start // step) * step
        last = first + random.randrange(3 * DAY) // step * step
        promised.append(_recording(first, last, step))
        missing = random.choice([0, 0.001, 0.3, 0.9])
        rows += [slot for slot in range(first, last + 1, step) if random.random() >= missing]
        rows += random.choices(range(first, last + 2), k=random.randint(0, 2))
        rows += range(last + step, last + random.choice([0, 5 * HOUR]), 600)
        start = last + random.choice([1, step, 5000, 30 * HOUR])
    if random.random() < 0.5:
        last_one = promised[-1]
        promised[-1] = _recording(last_one.first_slot, None, last_one.interval_seconds)
    return Case(
        promised,
        {slot: random.choice(SOURCES) for slot in rows},
        random.randrange(start + 2 * DAY) * MICROSECONDS + 1,
    )


def _random_span(random: Random) -> TimeRange:
    start = random.choice([None, random.randrange(8 * DAY), random.randrange(8) * DAY])
    end = random.choice([None, random.randrange(12 * DAY), random.randrange(12) * DAY - 1])
    return TimeRange(start, end)


@pytest.mark.parametrize("seed", range(12))
async def test_sql_counts_what_brute_force_counts(
    database: Database, sql: asyncpg.Connection, seed: int
) -> None:
    random = Random(seed)  # noqa: S311  # a reproducible case, no secret
    case = _random_case(random)
    await case.store(database, sql)
    for span in (EVERYTHING, *(_random_span(random) for _ in range(6))):
        for period in CoveragePeriod:
            expected = case.counts(span, period)
            assert list((await _count(database, case, period, span)).items()) == [*expected.items()]
            limit = random.randint(1, 9)
            first_ones = dict(list(expected.items())[:limit])
            assert await _count(database, case, period, span, limit) == first_ones


@pytest.mark.parametrize("seed", range(4))
async def test_periods_add_up_to_the_whole(
    database: Database, sql: asyncpg.Connection, seed: int
) -> None:
    random = Random(100 + seed)  # noqa: S311  # a reproducible case, no secret
    case = _random_case(random)
    await case.store(database, sql)
    for span in (EVERYTHING, *(_random_span(random) for _ in range(4))):
        async with database.read_committed() as session:
            whole = await gaps.count(session, {BTC: case.exchange_now_us}, span)
        for period in CoveragePeriod:
            counted = (await _count(database, case, period, span)).values()
            sums = [sum(numbers) for numbers in zip(*(c[:4] for c in counted), strict=True)]
            assert sums == list(whole[BTC][:4] if whole else ())


async def test_rows_outside_of_recordings_count_nowhere(
    database: Database, sql: asyncpg.Connection
) -> None:
    imported = dict.fromkeys(chain(range(0, DAY, 60), range(2 * DAY, 3 * DAY, 60)), "import")
    case = Case([_recording(DAY + HOUR, DAY + 2 * HOUR - 60)], imported)
    await case.store(database, sql)
    assert await _count(database, case, CoveragePeriod.DAY) == {DAY: SlotCounts(60)}
    assert await _count(database, case, CoveragePeriod.HOUR) == {DAY + HOUR: SlotCounts(60)}


async def test_hours_without_a_slot_of_a_long_interval_are_left_out(
    database: Database, sql: asyncpg.Connection
) -> None:
    case = Case([_recording(0, 8 * HOUR, 4 * HOUR)], {4 * HOUR: "live"})
    await case.store(database, sql)
    assert await _count(database, case, CoveragePeriod.HOUR) == {
        0: SlotCounts(1),
        4 * HOUR: SlotCounts(1, 1),
        8 * HOUR: SlotCounts(1),
    }


async def test_ticker_without_a_recording_has_no_periods(
    database: Database, sql: asyncpg.Connection
) -> None:
    case = Case([], {60: "import"})
    await case.store(database, sql)
    assert await _count(database, case, CoveragePeriod.DAY) == {}


async def test_hours_whose_rows_lie_in_slots_are_read_from_their_summaries(
    database: Database, sql: asyncpg.Connection
) -> None:
    """Also those of hours that lack some."""
    slots = [slot for slot in range(0, 10 * DAY, 60) if slot % 420]
    case = Case([_recording(0, 10 * DAY - 60)], dict.fromkeys(slots, "live"))
    await case.store(database, sql)
    await sql.execute("SET session_replication_role = replica")  # no triggers
    await sql.execute("DELETE FROM prices")
    for period in CoveragePeriod:
        assert await _count(database, case, period) == case.counts(EVERYTHING, period)
