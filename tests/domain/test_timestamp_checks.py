"""Which stamps are believed at once, which are asked for again, and which must last."""

import pytest

from app.domain.slots import MICROSECONDS
from app.domain.timestamp_checks import (
    ClockReadings,
    ExchangeClock,
    UnconfirmedJump,
    are_consistent,
    changed_clocks,
    max_ahead_us,
)

NOW_US = 1_768_579_260 * MICROSECONDS
HOST_US = 5_000 * MICROSECONDS
STEADY = NOW_US - HOST_US
HALF_AN_HOUR_US = 1_800 * MICROSECONDS
FIVE_MINUTES_US = 300 * MICROSECONDS
THREE_SECONDS_US = 3 * MICROSECONDS
"""The deviation without doubt at an interval of six seconds."""


def bearings(
    exchange_now_us: int | None = NOW_US, database_us: int = NOW_US, passed_seconds: int = 0
) -> ClockReadings:
    passed_us = passed_seconds * MICROSECONDS
    exchange_now_us = None if exchange_now_us is None else exchange_now_us + passed_us
    return ClockReadings(exchange_now_us, database_us + passed_us, HOST_US + passed_us)


@pytest.mark.parametrize(("interval", "limit"), [(1, 2), (9, 4), (30, 15), (60, 30), (86_400, 60)])
@pytest.mark.parametrize("sign", [-1, 1])
def test_stamp_is_doubted_beyond_half_an_interval_within_bounds(
    interval: int, limit: int, sign: int
) -> None:
    edge_us = NOW_US + sign * limit * MICROSECONDS
    for clock in (ExchangeClock(), ExchangeClock(STEADY)):
        assert not clock.is_doubtful(edge_us, bearings(), interval)
        assert clock.is_doubtful(edge_us + sign, bearings(), interval)


@pytest.mark.parametrize(
    ("interval", "seconds"), [(1, 1 + 2), (30, 30 + 15), (60, 60 + 30), (86_400, 86_400 + 60)]
)
def test_chart_may_be_ahead_by_an_interval_more(interval: int, seconds: int) -> None:
    assert max_ahead_us(interval) == seconds * MICROSECONDS


def test_without_a_row_the_database_has_five_minutes() -> None:
    clock, now = ExchangeClock(), bearings(None)
    assert not clock.is_doubtful(NOW_US + FIVE_MINUTES_US, now, 1)
    assert clock.is_doubtful(NOW_US - FIVE_MINUTES_US - 1, now, 1)


@pytest.mark.parametrize("jump_us", [-HALF_AN_HOUR_US, HALF_AN_HOUR_US])
def test_exchange_that_kept_its_pace_is_believed_however_the_database_was_set(
    jump_us: int,
) -> None:
    now = bearings(NOW_US + jump_us, NOW_US + jump_us)
    assert not ExchangeClock(STEADY).is_doubtful(NOW_US, now, 6)
    assert ExchangeClock().is_doubtful(NOW_US, now, 6)


@pytest.mark.parametrize("jump_us", [-HALF_AN_HOUR_US, HALF_AN_HOUR_US])
@pytest.mark.parametrize(
    ("clock", "seconds"), [(ExchangeClock(), 60), (ExchangeClock(STEADY), 3600)]
)
def test_jump_away_from_the_database_must_last(
    jump_us: int, clock: ExchangeClock, seconds: int
) -> None:
    clock = ExchangeClock(clock.offset_us)
    for passed, is_credible in ((0, False), (seconds - 1, False), (seconds, True)):
        observed_us = NOW_US + jump_us + passed * MICROSECONDS
        now = bearings(passed_seconds=passed)
        assert clock.is_doubtful(observed_us, now, 6)
        assert clock.is_credible(observed_us, now, 6) == is_credible


def test_jump_that_does_not_stay_where_it_led_begins_anew() -> None:
    clock = ExchangeClock()
    assert not clock.is_credible(NOW_US + HALF_AN_HOUR_US, bearings(), 6)
    later = bearings(passed_seconds=60)
    assert not clock.is_credible(NOW_US + 2 * HALF_AN_HOUR_US, later, 6)
    assert clock.unconfirmed == UnconfirmedJump(
        STEADY + 2 * HALF_AN_HOUR_US - 60 * MICROSECONDS, later.host_us
    )


@pytest.mark.parametrize("jump_us", [-HALF_AN_HOUR_US, HALF_AN_HOUR_US])
def test_jump_back_towards_the_database_is_believed(jump_us: int) -> None:
    clock = ExchangeClock(STEADY + jump_us)
    now = bearings(NOW_US + jump_us)
    assert clock.is_doubtful(NOW_US, now, 60)
    assert clock.is_credible(NOW_US, now, 60)


@pytest.mark.parametrize("end_us", [-FIVE_MINUTES_US, FIVE_MINUTES_US])
def test_jump_towards_the_database_ends_within_five_minutes_of_it(end_us: int) -> None:
    far_us = 2 * end_us
    clock, now = ExchangeClock(STEADY + far_us), bearings(NOW_US + far_us)
    assert clock.is_credible(NOW_US + end_us, now, 6)
    beyond_us = end_us + (1 if end_us > 0 else -1)
    clock = ExchangeClock(STEADY + far_us)
    assert not clock.is_credible(NOW_US + beyond_us, now, 6)


@pytest.mark.parametrize("sign", [-1, 1])
def test_jump_towards_the_database_comes_nearer_by_more_than_the_deviation_without_doubt(
    sign: int,
) -> None:
    """It was 100 s off, and a jump to its other side brings it to about 97 s."""
    off_us = 100 * MICROSECONDS * sign
    now = bearings(NOW_US + off_us)
    for nearer_us, is_credible in ((THREE_SECONDS_US + 1, True), (THREE_SECONDS_US, False)):
        observed_us = NOW_US - off_us + sign * nearer_us
        assert ExchangeClock(STEADY + off_us).is_credible(observed_us, now, 6) == is_credible


@pytest.mark.parametrize("exchange_now_us", [NOW_US, NOW_US - HALF_AN_HOUR_US, None])
def test_jump_is_measured_from_where_this_hosts_clock_expects_the_exchange(
    exchange_now_us: int | None,
) -> None:
    """The exchange was right, so four minutes ahead is away from the database's clock."""
    observed_us = NOW_US + 240 * MICROSECONDS
    assert not ExchangeClock(STEADY).is_credible(observed_us, bearings(exchange_now_us), 6)
    assert not ExchangeClock().is_credible(observed_us, bearings(), 6)


def test_unconfirmed_jump_may_wander_by_the_deviation_without_doubt() -> None:
    for wander_us, is_credible in ((THREE_SECONDS_US, True), (THREE_SECONDS_US + 1, False)):
        clock, later = ExchangeClock(), bearings(passed_seconds=60)
        assert not clock.is_credible(NOW_US + HALF_AN_HOUR_US, bearings(), 6)
        a_minute_later_us = NOW_US + HALF_AN_HOUR_US + 60 * MICROSECONDS
        assert clock.is_credible(a_minute_later_us + wander_us, later, 6) == is_credible


def test_exchange_that_came_near_the_database_for_a_while_may_go_back() -> None:
    """It is always 90 s ahead, and was right once."""
    ahead_us = 90 * MICROSECONDS
    clock = ExchangeClock(STEADY + ahead_us)
    assert clock.is_credible(NOW_US, bearings(NOW_US + ahead_us), 6)
    clock.accept(NOW_US, bearings(NOW_US + ahead_us))
    assert clock.is_doubtful(NOW_US + ahead_us, bearings(), 6)
    assert clock.is_credible(NOW_US + ahead_us, bearings(), 6)


@pytest.mark.parametrize("off_us", [-HALF_AN_HOUR_US, HALF_AN_HOUR_US])
def test_first_stamp_of_all_must_last_if_the_database_contradicts(off_us: int) -> None:
    clock = ExchangeClock()
    for passed, is_believed in ((0, False), (59, False), (60, True)):
        stamp_us = NOW_US + off_us + passed * MICROSECONDS
        now = bearings(None, passed_seconds=passed)
        assert clock.is_doubtful(stamp_us, now, 6)
        assert clock.is_credible(stamp_us, now, 6) == is_believed


def test_belief_ends_a_doubt() -> None:
    clock = ExchangeClock(STEADY)
    clock.is_credible(NOW_US + HALF_AN_HOUR_US, bearings(), 60)
    clock.accept(NOW_US, bearings())
    assert clock == ExchangeClock(STEADY)


def test_drift_of_less_than_a_second_is_no_news() -> None:
    kept = {"deribit": ExchangeClock(STEADY)}
    for off_us, is_news in ((MICROSECONDS, False), (MICROSECONDS + 1, True)):
        clocks = {"deribit": ExchangeClock(STEADY + off_us)}
        assert bool(changed_clocks(clocks, kept)) == is_news
    doubting = {"deribit": ExchangeClock(STEADY, None, UnconfirmedJump(0, 0))}
    assert changed_clocks(doubting, kept) == doubting
    assert changed_clocks({"deribit": ExchangeClock()}, {}) == {}


def test_second_stamp_agrees_within_seconds() -> None:
    assert are_consistent(NOW_US, NOW_US + 5 * MICROSECONDS)
    assert not are_consistent(NOW_US, NOW_US - 6 * MICROSECONDS)
