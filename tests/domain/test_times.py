"""Times as they come in, read exactly."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.times import (
    FIRST_MILLISECONDS,
    FIRST_SECOND,
    LAST_SECOND,
    parse_moment,
    seconds_from,
    seconds_until,
)


@given(st.integers(FIRST_SECOND, FIRST_MILLISECONDS - 1))
def test_number_below_the_border_counts_seconds(seconds: int) -> None:
    assert parse_moment(str(seconds)) == seconds * 1_000_000


@given(st.integers(FIRST_MILLISECONDS, LAST_SECOND * 1000 + 999))
def test_number_from_the_border_on_counts_milliseconds(milliseconds: int) -> None:
    assert parse_moment(str(milliseconds)) == milliseconds * 1000


@given(
    st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30)),  # noqa: DTZ001  # zones follow
    st.one_of(st.none(), st.timezones()),
)
def test_iso_moment_is_read_exactly(naive: dt.datetime, zone: dt.tzinfo | None) -> None:
    offset = naive.replace(tzinfo=zone).utcoffset() if zone else None
    fixed = dt.timezone(offset) if offset is not None else None
    written = naive.replace(tzinfo=fixed)
    expected = written if fixed else naive.replace(tzinfo=dt.UTC)
    epoch = dt.datetime.fromtimestamp(0, dt.UTC)
    microseconds = parse_moment(written.isoformat())
    assert epoch + dt.timedelta(microseconds=microseconds) == expected
    assert parse_moment(written.isoformat().replace("+", " ")) == microseconds


@given(st.text())
def test_any_text_is_a_moment_or_a_value_error(text: str) -> None:
    try:
        moment = parse_moment(text)
    except ValueError as error:
        assert "UNIX seconds" in str(error)  # noqa: PT017  # either way is right
    else:
        assert FIRST_SECOND * 10**6 <= moment < (LAST_SECOND + 1) * 10**6


@given(st.integers(-(10**18), 10**18))
def test_bounds_round_towards_each_other(moment_us: int) -> None:
    start, end = seconds_from(moment_us), seconds_until(moment_us)
    assert start * 1_000_000 >= moment_us >= end * 1_000_000
    assert start - end == (moment_us % 1_000_000 != 0)


@pytest.mark.parametrize("number", ["١٢٣", "\uff11\uff12", "²"])
def test_digits_of_other_scripts_are_no_number(number: str) -> None:
    with pytest.raises(ValueError, match="UNIX seconds"):
        parse_moment(number)
