"""Coverage and quality: equal to what plain SQL and plain Python count."""

import statistics
from decimal import Decimal
from itertools import pairwise
from random import Random

import asyncpg

from app.domain.coverage import Coverage, CoveragePeriod, Lateness, PeriodQuery, SlotCounts
from app.domain.gaps import Gap, Reason
from app.domain.prices import TickerKey, TimeRange
from app.domain.recordings import Recording
from app.domain.slots import Slot
from app.postgres.database import Database
from app.repositories import recordings, unfillable
from app.services.coverage import CoverageService
from tests.repositories.rows import store

BTC = TickerKey("deribit", "btc_usd")
ETH = TickerKey("deribit", "eth_usd")
EVERYTHING = TimeRange()
HOUR = 3600


def _gap(first: int, last: int, reason: Reason | None = None) -> Gap:
    return Gap(Slot(first), Slot(last), 60, reason)


async def _add_recording(
    database: Database, first: int, last: int | None, key: TickerKey = BTC
) -> None:
    async with database.transaction() as session:
        end = None if last is None else Slot(last)
        await recordings.upsert(session, [Recording(key, 60, Slot(first), end)])


async def test_every_promised_slot_is_accounted_for(
    database: Database, sql: asyncpg.Connection
) -> None:
    await _add_recording(database, 0, 5 * HOUR)
    await store(sql, range(0, 2 * HOUR, 60))
    await store(sql, range(2 * HOUR, 3 * HOUR, 60), source="backfill")
    await store(sql, range(4 * HOUR, 5 * HOUR, 60), source="import")
    async with database.transaction() as session:
        await unfillable.upsert(session, BTC, [_gap(3 * HOUR, 3 * HOUR + 540, Reason.BEFORE_CHART)])
    (found,) = await CoverageService(database).measure(EVERYTHING)
    assert found == Coverage(
        BTC,
        SlotCounts(301, 120, 60, 60, Slot(0), Slot(5 * HOUR), 60),
        [
            _gap(3 * HOUR, 3 * HOUR + 540, Reason.BEFORE_CHART),
            _gap(3 * HOUR + 600, 4 * HOUR - 60),
            _gap(5 * HOUR, 5 * HOUR),
        ],
    )
    assert (found.slot_counts.stored, found.slot_counts.missing, found.longest_gap) == (240, 61, 60)
    assert found.missing_by_reason() == {"before_chart": 10, "pending": 51}


async def test_coverage_of_a_time_range_counts_its_slots_only(
    database: Database, sql: asyncpg.Connection
) -> None:
    await _add_recording(database, 0, HOUR)
    await store(sql, [0, 60, 180])
    (found,) = await CoverageService(database).measure(TimeRange(1, 239), [BTC])
    assert found.slot_counts == SlotCounts(3, 2, 0, 0, Slot(60), Slot(180), 60)
    assert found.gaps == [_gap(120, 120)]


async def test_open_recording_is_accounted_for_up_to_the_exchanges_present(
    database: Database, sql: asyncpg.Connection
) -> None:
    """The newest row says that the exchange is at 1000 s, whatever the database's clock says."""
    await _add_recording(database, 0, None)
    await store(sql, range(0, 900, 60))
    await sql.execute(
        "INSERT INTO prices (exchange, ticker, timestamp, price, observed_us, source)"
        " VALUES ('deribit', 'btc_usd', 960, 5, 1000000000, 'live')"
    )
    (found,) = await CoverageService(database).measure(EVERYTHING)
    assert (found.slot_counts.first, found.slot_counts.last) == (0, 900)
    assert found.gaps == [_gap(900, 900)]


async def test_ticker_without_a_promise_is_expected_nothing_of(database: Database) -> None:
    await _add_recording(database, 0, 60, ETH)
    (found,) = await CoverageService(database).measure(EVERYTHING, [BTC])
    assert found == Coverage(BTC, SlotCounts(), [])
    assert (found.slot_counts.missing, found.longest_gap, found.missing_by_reason()) == (0, 0, {})


async def test_days_and_hours_are_pages_of_the_whole(
    database: Database, sql: asyncpg.Connection
) -> None:
    await _add_recording(database, 23 * HOUR, 50 * HOUR)
    await store(sql, range(23 * HOUR, 49 * HOUR, 120))
    service = CoverageService(database)
    (whole,) = await service.measure(EVERYTHING)
    found: dict[int, SlotCounts] = {}
    after, has_more = None, True
    while has_more:
        query = PeriodQuery(BTC, EVERYTHING, CoveragePeriod.HOUR, 5)
        page = await service.measure_by_period(query, after)
        assert page.slot_counts == whole.slot_counts
        found |= page.periods
        after, has_more = max(found), page.has_more
    assert found == {
        hour * HOUR: SlotCounts(60, 30 if hour < 49 else 0) for hour in range(23, 50)
    } | {50 * HOUR: SlotCounts(1)}


async def _store_walk(sql: asyncpg.Connection, moves: list[float]) -> list[Decimal]:
    price, found_pages = Decimal(60_000), []
    for slot, move in enumerate(moves):
        price = round(price * Decimal(1 + move), 4)
        found_pages.append(price)
        await store(sql, [slot * 60], price=str(price))
    return found_pages


async def test_moves_beyond_the_bound_are_flagged_the_widest_first(
    database: Database, sql: asyncpg.Connection
) -> None:
    random = Random(7)  # noqa: S311  # a reproducible case, no secret
    moves = [random.gauss(0, 0.0005) for _ in range(400)]
    moves[100], moves[101], moves[300] = 0.08, -0.07, 0.021
    prices = await _store_walk(sql, moves)
    await _add_recording(database, 0, 399 * 60)
    service = CoverageService(database)
    (coverage,) = await service.measure(EVERYTHING)
    judged = await service.measure_quality(coverage, EVERYTHING)
    assert [outlier.slot for outlier in judged.outliers] == [6000, 6060, 18_000]
    assert [(o.price, o.before) for o in judged.outliers[:1]] == [(prices[100], prices[99])]
    made = [float(b / a - 1) for a, b in pairwise(prices)]
    middle = statistics.median(made)
    spread = statistics.median(abs(move - middle) for move in made)
    assert judged.bound is not None
    assert abs(judged.bound - max(0.005, 30 * 1.4826 * spread)) < 1e-9
    assert judged.outlier_count == sum(abs(move - middle) > judged.bound for move in made)


async def test_move_across_a_gap_is_no_outlier(database: Database, sql: asyncpg.Connection) -> None:
    await store(sql, range(0, 600, 60), price="100")
    await store(sql, range(1200, 1800, 60), price="200")
    await _add_recording(database, 0, 1740)
    service = CoverageService(database)
    (coverage,) = await service.measure(EVERYTHING)
    judged = await service.measure_quality(coverage, EVERYTHING)
    assert (judged.bound, judged.outlier_count, judged.outliers) == (0.005, 0, [])


async def test_lateness_counts_live_rows_from_their_slots_start(
    database: Database, sql: asyncpg.Connection
) -> None:
    late = [*range(1000, 101_000, 1000)]
    await sql.executemany(
        "INSERT INTO prices (exchange, ticker, timestamp, price, observed_us, source)"
        " VALUES ('deribit', 'btc_usd', $1::bigint, 5, $1::bigint * 1000000 + $2::int, 'live')",
        [(slot * 60, us) for slot, us in enumerate(late)],
    )
    await store(sql, [60_000], source="backfill")
    await _add_recording(database, 0, 60_000)
    service = CoverageService(database)
    (coverage,) = await service.measure(EVERYTHING)
    judged = await service.measure_quality(coverage, EVERYTHING)
    assert judged.lateness == Lateness(50_000, 99_000, 100_000)


async def test_nothing_stored_has_no_quality(database: Database) -> None:
    await _add_recording(database, 0, 60)
    service = CoverageService(database)
    (coverage,) = await service.measure(EVERYTHING)
    judged = await service.measure_quality(coverage, EVERYTHING)
    assert (judged.lateness, judged.bound, judged.outlier_count) == (None, None, 0)
