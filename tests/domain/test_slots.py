"""The grid of time."""

from hypothesis import example, given
from hypothesis import strategies as st

from app.domain.slots import (
    MICROSECONDS,
    LatestLivePrice,
    Slot,
    estimate_exchange_now_us,
    floor_slot,
    is_plausible,
    seconds_left,
    slot_after,
    slot_before,
    window_seconds,
)

INTERVALS = st.sampled_from([n for n in range(1, 86_401) if 86_400 % n == 0])
MOMENTS = st.integers(-(2**60), 2**60)


@given(MOMENTS, INTERVALS)
def test_slot_is_the_grid_point_at_or_before_a_moment(moment_us: int, interval: int) -> None:
    slot = floor_slot(moment_us, interval)
    assert slot % interval == 0
    assert slot * MICROSECONDS <= moment_us < slot_after(slot, interval) * MICROSECONDS


@given(MOMENTS, INTERVALS)
def test_slots_are_neighbours_of_one_another(moment_us: int, interval: int) -> None:
    slot = floor_slot(moment_us, interval)
    assert slot_before(slot_after(slot, interval), interval) == slot
    assert floor_slot((slot * MICROSECONDS) - 1, interval) == slot_before(slot, interval)
    assert floor_slot(slot * MICROSECONDS, interval) == slot


@given(st.integers(0, 2**50), INTERVALS)
def test_slot_runs_until_the_next_begins(moment_us: int, interval: int) -> None:
    slot = floor_slot(moment_us, interval)
    assert 0 < seconds_left(slot, interval, moment_us) <= interval
    assert seconds_left(slot, interval, slot_after(slot, interval) * MICROSECONDS) <= 0


@given(INTERVALS)
def test_window_is_a_quarter_of_an_interval_and_at_most_fifteen_seconds(interval: int) -> None:
    assert window_seconds(interval) <= min(15, interval / 4)
    assert window_seconds(60) == 15
    assert window_seconds(2) == 0.5


@given(MOMENTS, st.integers(-7200, 7200))
@example(0, 3600)
@example(0, -3601)
def test_stamp_is_plausible_within_an_hour(reference_us: int, off_seconds: int) -> None:
    stamp = reference_us + off_seconds * MICROSECONDS
    assert is_plausible(stamp, reference_us) == (abs(off_seconds) <= 3600)


@given(MOMENTS, MOMENTS, st.integers(-(10**12), 10**12))
def test_present_goes_on_from_the_stamp_with_the_databases_clock(
    observed_us: int, created_us: int, elapsed_us: int
) -> None:
    edge = LatestLivePrice(Slot(0), observed_us, created_us)
    present = edge.exchange_now_us(created_us + elapsed_us)
    assert present == (observed_us + elapsed_us if elapsed_us >= 0 else None)


def test_exchange_clock_is_estimated_and_never_runs_backwards() -> None:
    """A row with the exchange's time 1000 s was stored when the database's clock was at 2000 s."""
    latest = LatestLivePrice(Slot(960), 1000 * MICROSECONDS, 2000 * MICROSECONDS)
    for database_seconds, exchange_seconds in ((2030, 1030), (2000, 1000), (1500, 1000)):
        estimate_us = estimate_exchange_now_us(latest, database_seconds * MICROSECONDS)
        assert estimate_us == exchange_seconds * MICROSECONDS
    assert estimate_exchange_now_us(None, 2000 * MICROSECONDS) == 2000 * MICROSECONDS
