"""The arithmetic of candles."""

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from app.domain.candle_queries import CandleInterval, CandleQuery, Fill, first_open_slot
from app.domain.prices import TickerKey, TimeRange
from app.domain.slots import MICROSECONDS

BTC = TickerKey("deribit", "btc_usd")
SECONDS = {
    "1m": 60,
    "5m": 300,
    "15m": 900,
    "30m": 1800,
    "1h": 3600,
    "4h": 14_400,
    "1d": 86_400,
    "1w": 604_800,
}

MOMENTS = st.integers(-400_000, 2_000_000)
INTERVALS = st.sampled_from(CandleInterval)


def _query(interval: CandleInterval, span: TimeRange) -> CandleQuery:
    return CandleQuery(BTC, interval, span, Fill.NONE, 10)


def _is_start(interval: CandleInterval, moment: int) -> bool:
    """Say by the calendar whether a candle starts; none ends before the epoch."""
    if interval is not CandleInterval.ONE_WEEK:
        return moment >= 0 and moment % interval.seconds == 0
    time = dt.datetime.fromtimestamp(moment, dt.UTC)
    return time.weekday() == 0 and time.time() == dt.time() and moment > -7 * 86_400


def _starts(query: CandleQuery) -> list[int]:
    return list(range(query.first_start, query.first_start_after_range, query.interval.seconds))


def test_intervals_have_their_lengths() -> None:
    assert {interval.value: interval.seconds for interval in CandleInterval} == SECONDS


@given(INTERVALS, MOMENTS, MOMENTS)
def test_starts_are_those_in_the_span(interval: CandleInterval, start: int, end: int) -> None:
    found = _starts(_query(interval, TimeRange(start, end)))
    possible = range(-604_800, 2_000_001, min(interval.seconds, 86_400))
    assert found == [at for at in possible if start <= at <= end and _is_start(interval, at)]


def test_weeks_start_on_monday() -> None:
    """The epoch was a Thursday."""
    start = dt.datetime(2026, 1, 16, tzinfo=dt.UTC).timestamp()
    query = _query(CandleInterval.ONE_WEEK, TimeRange(int(start), int(start) + 14 * 86_400))
    mondays = [dt.datetime(2026, 1, day, tzinfo=dt.UTC).timestamp() for day in (19, 26)]
    assert _starts(query) == mondays
    assert _query(CandleInterval.ONE_WEEK, TimeRange()).first_start == -3 * 86_400


@given(INTERVALS, st.integers(0, 1_000_000), st.integers(0, 20))
def test_after_a_start_the_next_one_follows(
    interval: CandleInterval, start: int, position: int
) -> None:
    query = _query(interval, TimeRange(start, 2_000_000))
    starts = _starts(query)
    at = min(position, len(starts) - 1)
    assert _starts(query.after(starts[at])) == starts[at + 1 :]


def test_after_a_second_between_two_candles_the_next_one_follows() -> None:
    query = _query(CandleInterval.ONE_MINUTE, TimeRange(600, 900))
    assert _starts(query.after(719)) == [720, 780, 840, 900]


def test_position_before_the_span_leaves_it_whole() -> None:
    query = _query(CandleInterval.ONE_MINUTE, TimeRange(600, 900))
    assert _starts(query.after(60)) == _starts(query) == [600, 660, 720, 780, 840, 900]


def test_open_span_reaches_from_the_epoch_to_far_away() -> None:
    query = _query(CandleInterval.ONE_DAY, TimeRange())
    assert query.first_start == 0
    assert 2**62 < query.first_start_after_range < 2**63
    assert query.after(0).first_start == 86_400


def test_candle_is_closed_when_its_last_slot_is_due() -> None:
    due_us = (3600 + 30) * MICROSECONDS
    assert first_open_slot(due_us, 60) == 3600
    assert first_open_slot(due_us - 1, 60) == 3540


@given(st.integers(0, 10**12), st.sampled_from([1, 7, 60, 3600, 86_400]))
def test_what_is_settled_has_no_slot_that_may_come(
    exchange_now_us: int, interval_seconds: int
) -> None:
    settled = first_open_slot(exchange_now_us, interval_seconds)
    half_us = interval_seconds * MICROSECONDS // 2
    assert settled % interval_seconds == 0
    assert settled * MICROSECONDS + half_us <= exchange_now_us
    assert exchange_now_us < (settled + interval_seconds) * MICROSECONDS + half_us
