"""What a jump of a clock costs, by simulation; docs/adr/0015 has the table of many more cases."""

import pytest

from tests.domain.clock_jumps import Case, Jump, simulate

START = 200.0
HALF_AN_HOUR = 1_800


@pytest.mark.parametrize("interval", [2, 6, 60])
@pytest.mark.parametrize("seconds", [-3400, -HALF_AN_HOUR, -90, 90, HALF_AN_HOUR, 3400])
@pytest.mark.parametrize("duration", [0.5, 35, 600])
def test_jump_of_the_exchange_poisons_nothing_and_is_over_when_it_ends(
    interval: int, seconds: float, duration: float
) -> None:
    jump = Jump(seconds, START, duration)
    for restarts in ((), (START + 1, START + duration / 2)):
        found = simulate(Case(interval, jump, restarts=restarts))
        assert (found.future_rows, found.lost_in_calm) == (0, 0)
        assert (found.falsely_due_seconds, found.falsely_fresh_seconds) == (0, 0)
        assert found.recovery_seconds <= 2 * interval


@pytest.mark.parametrize("interval", [2, 6, 60])
@pytest.mark.parametrize("seconds", [-1500, -90, 90, 1500])
@pytest.mark.parametrize("ahead", [-HALF_AN_HOUR, 0, HALF_AN_HOUR])
def test_jump_of_the_database_costs_no_slot(interval: int, seconds: float, ahead: float) -> None:
    jump = Jump(seconds, START, 300)
    found = simulate(Case(interval, database=jump, exchange_ahead=ahead, restarts=[START]))
    assert (found.lost, found.future_rows, found.falsely_fresh_seconds) == (0, 0, 0)
    assert found.falsely_due_seconds <= 2 * 2 * interval  # each ticker, until the next answer
    assert found.recovery_seconds <= 2 * interval


def test_exchange_that_stays_away_for_an_hour_is_believed_and_may_come_back() -> None:
    for ahead in (0, 1_500):
        found = simulate(Case(60, Jump(HALF_AN_HOUR, START, 4_200), exchange_ahead=ahead))
        assert 0 < found.future_rows <= 2 * 12
        assert found.recovery_seconds <= 2 * 60


def test_host_that_started_with_a_wrong_clock_waits_for_a_minute() -> None:
    case = Case(6, database=Jump(90, START, 300), reboots=[START])
    assert simulate(case).lost <= 2 * 10
