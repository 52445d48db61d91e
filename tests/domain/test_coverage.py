"""Coverage: how many slots are missing, and why."""

from dataclasses import replace

import pytest

from app.domain.coverage import Coverage, CoveragePeriod, PeriodQuery, SlotCounts
from app.domain.gaps import Gap, Reason
from app.domain.prices import TickerKey, TimeRange
from app.domain.slots import Slot

BTC = TickerKey("deribit", "btc_usd")


def _coverage(*gaps: Gap) -> Coverage:
    return Coverage(BTC, SlotCounts(), gaps)


def test_missing_slots_are_counted_by_reason() -> None:
    coverage = _coverage(
        Gap(Slot(0), Slot(120), 60),
        Gap(Slot(180), Slot(180), 60, Reason.BEFORE_CHART),
        Gap(Slot(600), Slot(660), 60),
        Gap(Slot(900), Slot(960), 30, Reason.BEFORE_CHART),
        Gap(Slot(990), Slot(990), 30, Reason.UNKNOWN_TICKER),
    )
    assert coverage.missing_by_reason() == {"pending": 5, "before_chart": 4, "unknown_ticker": 1}
    assert coverage.longest_gap == 4
    assert _coverage().missing_by_reason() == {}


def test_promised_slots_are_stored_or_missing() -> None:
    counts = SlotCounts(expected=10, live=4, backfilled=2, imported=1)
    assert (counts.stored, counts.missing) == (7, 3)


def test_days_and_hours_have_their_lengths() -> None:
    assert {one.value: one.seconds for one in CoveragePeriod} == {"day": 86_400, "hour": 3600}


@pytest.mark.parametrize(
    ("start", "after", "first"), [(None, 7200, 10_800), (7000, 3600, 7200), (9000, 3600, 9000)]
)
def test_after_an_hour_the_next_one_follows(start: int | None, after: int, first: int) -> None:
    query = PeriodQuery(BTC, TimeRange(start, 20_000), CoveragePeriod.HOUR, 10)
    assert query.after(after) == replace(query, time_range=TimeRange(first, 20_000))
