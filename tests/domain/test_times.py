"""Times as they come in, read exactly."""

import datetime as dt

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.domain.prices import TimeRange
from app.domain.times import (
    FIRST_SECOND,
    LAST_SECOND,
    MIN_MILLISECONDS,
    TimePoint,
    ceil_seconds,
    floor_seconds,
    format_seconds,
    format_utc,
    is_date,
    parse_time_point,
    parse_timestamp_us,
    resolve_range,
)


@given(st.integers(FIRST_SECOND, MIN_MILLISECONDS - 1))
def test_number_below_the_border_counts_seconds(seconds: int) -> None:
    assume(not is_date(str(seconds)))
    assert parse_timestamp_us(str(seconds)) == seconds * 1_000_000


@given(st.integers(MIN_MILLISECONDS, LAST_SECOND * 1000 + 999))
def test_number_from_the_border_on_counts_milliseconds(milliseconds: int) -> None:
    assert parse_timestamp_us(str(milliseconds)) == milliseconds * 1000


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
    microseconds = parse_timestamp_us(written.isoformat())
    assert epoch + dt.timedelta(microseconds=microseconds) == expected
    assert parse_timestamp_us(written.isoformat().replace("+", " ")) == microseconds


@given(st.dates())
def test_eight_digits_that_make_a_date_are_one(date: dt.date) -> None:
    digits = f"{date.year:04}{date.month:02}{date.day:02}"
    assert is_date(digits)
    assert parse_timestamp_us(digits) == parse_timestamp_us(date.isoformat())


@pytest.mark.parametrize("year", ["1970", "2026", "2099"])
def test_year_alone_is_no_second_of_1970(year: str) -> None:
    with pytest.raises(ValueError, match=f"is a year; its first moment is {year}-01-01"):
        parse_time_point(year)


@pytest.mark.parametrize("seconds", ["1899", "2100", "202", "20260"])
def test_number_that_is_no_year_of_today_counts_seconds(seconds: str) -> None:
    assert parse_time_point(seconds).microseconds == int(seconds) * 1_000_000


@pytest.mark.parametrize("digits", ["20261301", "20260230", "99999999", "10000000", "00000060"])
def test_eight_digits_that_make_no_date_are_seconds(digits: str) -> None:
    assert parse_timestamp_us(digits) == int(digits) * 1_000_000


@given(
    st.integers(FIRST_SECOND, MIN_MILLISECONDS - 1)
    | st.dates().map(lambda date: int(f"{date.year}{date.month:02}{date.day:02}"))
)
def test_seconds_that_are_written_are_read_as_the_same(seconds: int) -> None:
    assert parse_timestamp_us(format_seconds(seconds)) == seconds * 1_000_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("now", 0),
        ("-1s", 1),
        ("-90m", 5400),
        ("-24h", 86_400),
        ("-7d", 604_800),
        (" -2w ", 1209600),
        ("-3h30m", 12_600),
        ("-1w2d3h4m5s", 788_645),
        ("-30m3h", 12_600),
    ],
)
def test_moment_back_from_now_moves_with_the_clock(text: str, seconds: int) -> None:
    moment = parse_time_point(text)
    assert moment.is_relative
    assert moment.at(1_768_579_260.9) == (1_768_579_260 - seconds) * 1_000_000


@pytest.mark.parametrize("text", ["-3h30", "-3h-30m", "-3h 30m", "-h30m", "-3.5h", "3h30m", "-"])
def test_half_a_duration_is_no_moment_back_from_now(text: str) -> None:
    with pytest.raises(ValueError, match="back from now such as -24h or -3h30m"):
        parse_time_point(text)


def test_moment_back_from_now_never_lies_before_the_year_one() -> None:
    assert parse_time_point("-999999999w").at(0) == FIRST_SECOND * 1_000_000


@given(st.integers(-(10**9), 10**9))
def test_number_with_a_sign_is_no_moment_back_from_now(seconds: int) -> None:
    assume(not is_date(str(seconds)) and not 1900 <= seconds < 2100)
    moment = parse_time_point(str(seconds))
    assert (moment.is_relative, moment.at(5)) == (False, seconds * 1_000_000)


@given(st.text())
def test_any_text_is_a_moment_or_a_value_error(text: str) -> None:
    try:
        moment = parse_timestamp_us(text)
    except ValueError as error:
        assert "UNIX seconds" in str(error)  # noqa: PT017  # either way is right
    else:
        assert FIRST_SECOND * 10**6 <= moment < (LAST_SECOND + 1) * 10**6


@given(st.integers(-(10**18), 10**18))
def test_bounds_round_towards_each_other(moment_us: int) -> None:
    start, end = ceil_seconds(moment_us), floor_seconds(moment_us)
    assert start * 1_000_000 >= moment_us >= end * 1_000_000
    assert start - end == (moment_us % 1_000_000 != 0)


def test_range_holds_the_whole_seconds_between_two_moments() -> None:
    start, end = TimePoint(60_000_001), TimePoint(120_999_999)
    assert resolve_range(start, end, 0) == TimeRange(61, 120)
    assert resolve_range(start, None, 0) == TimeRange(61, None)
    assert resolve_range(None, end, 0) == TimeRange(None, 120)
    assert resolve_range(None, None, 0) == TimeRange()
    assert resolve_range(TimePoint(0), TimePoint(0), 0) == TimeRange(0, 0)


def test_range_back_from_now_moves_with_the_clock() -> None:
    hour_ago, now = TimePoint(-3_600_000_000, is_relative=True), TimePoint(0, is_relative=True)
    assert resolve_range(hour_ago, now, 5_000.9) == TimeRange(1_400, 5_000)


def test_range_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^the start is after the end$"):
        resolve_range(TimePoint(1), TimePoint(0), 0)
    with pytest.raises(ValueError, match=r"^the start is after the end$"):
        resolve_range(TimePoint(0, is_relative=True), TimePoint(59_999_999), 60)


@pytest.mark.parametrize("number", ["١٢٣", "\uff11\uff12", "²"])
def test_digits_of_other_scripts_are_no_number(number: str) -> None:
    with pytest.raises(ValueError, match="UNIX seconds"):
        parse_timestamp_us(number)


def test_year_9999_is_allowed_to_its_last_microsecond() -> None:
    assert parse_timestamp_us("9999-12-31T23:59:59.999999Z") == (LAST_SECOND + 1) * 10**6 - 1
    with pytest.raises(ValueError, match="must lie in the years 1 to 9999; allowed are UNIX sec"):
        parse_timestamp_us(str((LAST_SECOND + 1) * 1000))


def test_error_of_a_time_point_says_what_else_is_allowed() -> None:
    with pytest.raises(ValueError, match=r"UNIX seconds.*, now, or back from now such as -24h"):
        parse_time_point("noon")


def test_seconds_are_written_as_a_number_unless_it_would_be_read_as_a_date() -> None:
    assert format_seconds(1_768_579_260) == "1768579260"
    assert format_seconds(20_261_001) == "1970-08-23T12:03:21Z"
    assert format_utc(0) == "1970-01-01T00:00:00Z"
