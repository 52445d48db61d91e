"""Coverage: how many slots are missing, and why."""

from app.domain.coverage import Coverage, SlotCounts
from app.domain.gaps import Gap, Reason
from app.domain.prices import TickerKey
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
