"""Which stamps are asked for again."""

import pytest

from app.domain.slots import MICROSECONDS
from app.domain.stamps import agree, is_doubtful

NOW_US = 1768579260 * MICROSECONDS


@pytest.mark.parametrize(("interval", "limit"), [(1, 60), (30, 60), (60, 120), (86_400, 300)])
@pytest.mark.parametrize("sign", [-1, 1])
def test_stamp_is_doubted_beyond_two_intervals_within_bounds(
    interval: int, limit: int, sign: int
) -> None:
    edge_us = NOW_US + sign * limit * MICROSECONDS
    assert not is_doubtful(edge_us, NOW_US, 0, interval)
    assert is_doubtful(edge_us + sign, NOW_US, 0, interval)


def test_without_a_row_the_database_has_five_minutes() -> None:
    assert not is_doubtful(NOW_US + 299 * MICROSECONDS, None, NOW_US, 1)
    assert is_doubtful(NOW_US - 301 * MICROSECONDS, None, NOW_US, 1)


def test_second_stamp_agrees_within_seconds() -> None:
    assert agree(NOW_US, NOW_US + 5 * MICROSECONDS)
    assert not agree(NOW_US, NOW_US - 6 * MICROSECONDS)
