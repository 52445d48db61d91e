"""Gaps found by SQL: the same as the pure specification finds."""

import asyncio
from collections.abc import Mapping, Sequence
from random import Random

import asyncpg
import pytest

from app.domain.coverage import SlotCounts
from app.domain.gaps import Gap
from app.domain.prices import TickerKey, TimeRange
from app.domain.recordings import Recording
from app.domain.slots import MICROSECONDS, Slot
from app.postgres.database import Database
from app.repositories import gaps, recordings
from tests.domain.specified_gaps import find_missing
from tests.repositories.rows import store

BTC = TickerKey("deribit", "btc_usd")
ETH = TickerKey("deribit", "eth_usd")
HOUR = 3600
EVERYTHING = TimeRange()


def _slot(seconds: int) -> Slot:
    return Slot(seconds)


async def _add_recordings(database: Database, *promised: Recording) -> None:
    async with database.transaction() as session:
        await recordings.upsert(session, promised)


async def _find(
    database: Database, exchange_times: Mapping[TickerKey, int], span: TimeRange = EVERYTHING
) -> dict[TickerKey, list[Gap]]:
    async with database.read_committed() as session:
        return await gaps.find(session, exchange_times, span)


async def _count(
    database: Database, exchange_times: Mapping[TickerKey, int], span: TimeRange = EVERYTHING
) -> dict[TickerKey, SlotCounts]:
    async with database.read_committed() as session:
        return await gaps.count(session, exchange_times, span)


def _recording(first: int, last: int | None, step: int = 60, key: TickerKey = BTC) -> Recording:
    return Recording(key, step, _slot(first), None if last is None else _slot(last))


async def test_missing_slots_are_found_as_the_longest_runs(
    database: Database, sql: asyncpg.Connection
) -> None:
    await _add_recordings(database, _recording(0, 10 * HOUR))
    missing = {0, 60, 3540, 3600, 7200, 36_000}
    await store(sql, (slot for slot in range(0, 10 * HOUR + 1, 60) if slot not in missing))
    assert await _find(database, {BTC: 100 * HOUR * MICROSECONDS}) == {
        BTC: [
            Gap(_slot(0), _slot(60), 60),
            Gap(_slot(3540), _slot(3600), 60),
            Gap(_slot(7200), _slot(7200), 60),
            Gap(_slot(36_000), _slot(36_000), 60),
        ]
    }


async def test_nothing_stored_is_one_gap(database: Database) -> None:
    await _add_recordings(database, _recording(120, None))
    assert await _find(database, {BTC: 50 * HOUR * MICROSECONDS}) == {
        BTC: [Gap(_slot(120), _slot(50 * HOUR - 120), 60)]
    }


async def test_slot_is_due_half_an_interval_after_its_end(database: Database) -> None:
    await _add_recordings(database, _recording(0, None))
    assert await _find(database, {BTC: 90 * MICROSECONDS - 1}) == {}
    assert await _find(database, {BTC: 90 * MICROSECONDS}) == {BTC: [Gap(_slot(0), _slot(0), 60)]}


async def test_rows_beside_the_grid_fill_no_gap(
    database: Database, sql: asyncpg.Connection
) -> None:
    await _add_recordings(database, _recording(0, HOUR - 60))
    await store(sql, [slot + 7 * (slot == 600) for slot in range(0, HOUR, 60)])
    exchange_times = {BTC: 9 * HOUR * MICROSECONDS}
    assert await _find(database, exchange_times) == {BTC: [Gap(_slot(600), _slot(600), 60)]}
    assert (await _count(database, exchange_times))[BTC][:2] == (60, 59)


async def test_what_was_never_promised_is_no_gap(
    database: Database, sql: asyncpg.Connection
) -> None:
    await _add_recordings(database, _recording(0, 120), _recording(600, 720))
    await store(sql, [0, 60, 120, 600, 660, 720, 5000])
    assert await _find(database, {BTC: 9 * HOUR * MICROSECONDS, ETH: 0}) == {}
    counts = (await _count(database, {BTC: 9 * HOUR * MICROSECONDS}))[BTC]
    assert counts == SlotCounts(6, 6, 0, 0, _slot(0), _slot(720), 60)


@pytest.mark.parametrize("seed", range(20))
async def test_sql_finds_what_the_specification_finds(
    database: Database, sql: asyncpg.Connection, seed: int
) -> None:
    random = Random(seed)  # noqa: S311  # a reproducible case, no secret
    cases = {key: _random_case(random, key) for key in (BTC, ETH)}
    for promised, rows in cases.values():
        await _add_recordings(database, *promised)
        await _store_at_random(sql, random, promised[0].key, rows)
    await _remove_some(sql, random)
    spans = [EVERYTHING, *(_random_range(random) for _ in range(4))]
    exchange_times = {key: random.randrange(20 * HOUR) * MICROSECONDS + 1 for key in cases}
    for span in spans:
        found = await _find(database, exchange_times, span)
        counted = await _count(database, exchange_times, span)
        for key, (promised, _) in cases.items():
            stored = await _stored(sql, key)
            expected = [
                gap
                for recording in promised
                for gap in find_missing(recording, exchange_times[key], span, stored.keys())
            ]
            assert found.get(key, []) == expected
            _assert_counts(counted.get(key), promised, exchange_times[key], span, stored)


def _random_case(random: Random, key: TickerKey) -> tuple[list[Recording], list[int]]:
    """Make recordings that follow one another at odd intervals, and rows that mostly fit."""
    promised, rows, start = [], [], 0
    for number in range(random.randint(1, 3)):
        step = random.choice([1, 6, 27, 60, 60, 60, 900, 3600, 7200])
        first = -(-start // step) * step
        length = random.randint(0, min(900, max(1, 8 * HOUR // step)))
        last = first + step * length
        is_open = number == 2 and random.random() < 0.5
        promised.append(_recording(first, None if is_open else last, step, key))
        missing = set(random.choices(range(first, last + 1, step), k=random.randint(0, 5)))
        rows += [slot for slot in range(first, last + 1, step) if slot not in missing]
        rows += random.choices(range(first, last + 2), k=random.randint(0, 3))
        start = last + random.choice([1, step, 5000])
    return promised, sorted(set(rows))


async def _store_at_random(
    sql: asyncpg.Connection, random: Random, key: TickerKey, rows: Sequence[int]
) -> None:
    shuffled = random.sample(rows, len(rows))
    for number in range(5):
        source = random.choice(["live", "backfill", "import"])
        await store(sql, shuffled[number::5], ticker=key.ticker, source=source)


async def _remove_some(sql: asyncpg.Connection, random: Random) -> None:
    start = random.randrange(10 * HOUR)
    await sql.execute("DELETE FROM prices WHERE timestamp BETWEEN $1 AND $1 + 500", start)


async def _stored(sql: asyncpg.Connection, key: TickerKey) -> dict[int, str]:
    rows = await sql.fetch("SELECT timestamp, source FROM prices WHERE ticker = $1", key.ticker)
    return {row["timestamp"]: row["source"] for row in rows}


def _random_range(random: Random) -> TimeRange:
    start = random.choice([None, random.randrange(10 * HOUR)])
    end = random.choice([None, random.randrange(20 * HOUR)])
    return TimeRange(start, end)


def _assert_counts(
    counts: SlotCounts | None,
    promised: Sequence[Recording],
    exchange_now_us: int,
    span: TimeRange,
    stored: Mapping[int, str],
) -> None:
    slots = [
        slot
        for recording in promised
        for gap in find_missing(recording, exchange_now_us, span, ())
        for slot in range(gap.first, gap.last + 1, gap.interval_seconds)
    ]
    if not slots:
        assert counts is None
        return
    sources = [stored[slot] for slot in slots if slot in stored]
    assert counts is not None
    assert counts.expected == len(slots)
    assert counts[1:4] == tuple(map(sources.count, ("live", "backfill", "import")))
    assert (counts.first, counts.last) == (slots[0], slots[-1])


async def test_gaps_are_found_while_rows_are_added(
    database: Database, sql: asyncpg.Connection
) -> None:
    await _add_recordings(database, _recording(0, 2 * HOUR - 60))
    exchange_times = {BTC: 9 * HOUR * MICROSECONDS}

    async def add() -> None:
        for slot in range(0, 2 * HOUR, 60):
            await store(sql, [slot])

    adding = asyncio.create_task(add())
    missing_over_time = [120]
    while not adding.done():
        found = await _find(database, exchange_times)
        missing_over_time.append(sum(gap.missing for gap in found.get(BTC, [])))
    assert missing_over_time == sorted(missing_over_time, reverse=True)
    assert len(set(missing_over_time)) > 5, "nothing was looked at in between"
    assert await _find(database, exchange_times) == {}
