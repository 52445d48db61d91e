"""Times as they come in."""

import datetime as dt

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.times import (
    FIRST_MILLISECONDS,
    FIRST_SECOND,
    LAST_SECOND,
    parse_moment,
    seconds_from,
    seconds_until,
)
from tests.api.client import Api
from tests.repositories.rows import store

T0 = 1_768_579_260  # 2026-01-16T16:01:00Z
SLOTS = [T0 - 60, T0, T0 + 60]
SAME_MOMENT = [
    str(T0),
    f"{T0}000",
    "2026-01-16T16:01:00Z",
    "2026-01-16T16:01:00",
    "2026-01-16%2016:01:00",
    "2026-01-16T16:01",
    "2026-01-16%2016:01",
    "2026-01-16%2018:01:00+02:00",
    "2026-01-16T18:01+02",
    "20260116T180100+0200",
    "2026-01-16T18:01:00%2B02:00",
    "2026-01-16T18:01:00+02:00",
    "2026-01-16T18:01:00+0200",
    "2026-01-16T11:01:00-05:00",
    "2026-01-16T16:01:00.000Z",
    "%202026-01-16T16:01:00Z%20",
    "20260116T160100Z",
]
NO_MOMENTS = [
    "",
    "%20",
    "now",
    "NaN",
    "Infinity",
    "-",
    "1e20",
    "1e9",
    "1768579260.5",
    "0x10",
    "1_000",
    "1" * 20,
    "9" * 30,
    "-" + "9" * 19,
    "9223372036854775807",
    "9223372036854775808",
    str(LAST_SECOND * 1000 + 1000),
    str(FIRST_SECOND - 1),
    "0000-01-01",
    "10000-01-01",
    "2026-13-01",
    "2026-02-30",
    "2026-01-16T25:00:00Z",
    "2026-01-16T16:01:00%2B99:00",
    "%D9%A1%D9%A2%D9%A3",
    "%EF%BC%91%EF%BC%92",
    "2026%E2%88%9201-16",
    "%00",
    "1%00",
    "%FF",
    "'; DROP TABLE prices; --",
    "9" * 10_000,
]


async def test_every_form_of_a_moment_finds_the_same_rows(
    api: Api, sql: asyncpg.Connection
) -> None:
    await store(sql, SLOTS)
    for form in SAME_MOMENT:
        after = await api.get(f"/api/v1/prices/period?ticker=btc_usd&from_dt={form}")
        before = await api.get(f"/api/v1/prices/filter?ticker=btc_usd&to_dt={form}")
        both = await api.get(f"/api/v1/prices/period?ticker=btc_usd&from_dt={form}&to_dt={form}")
        at = await api.get(f"/api/v1/prices/at?ticker=btc_usd&timestamp={form}")
        assert after.stamps == SLOTS[1:], form
        assert before.stamps == SLOTS[:2], form
        assert both.stamps == [T0], form
        assert at.json()["timestamp"] == T0, form


async def test_what_is_no_moment_is_a_422_on_every_time_parameter(api: Api) -> None:
    for text in NO_MOMENTS:
        quoted = text.replace(" ", "%20")
        for path in ("period?from_dt=", "filter?to_dt=", "at?timestamp="):
            answer = await api.get(f"/api/v1/prices/{path}{quoted}&ticker=btc_usd")
            name = path.partition("?")[2].rstrip("=")
            assert set(answer.faults) == {name}, text
            assert "UNIX seconds" in answer.faults[name]


async def test_fractions_of_a_second_round_inwards(api: Api, sql: asyncpg.Connection) -> None:
    await store(sql, [10, 11, 12])

    async def stamps(start: str, end: str) -> list[int]:
        return (await api.get(f"{route}&from_dt={start}&to_dt={end}")).stamps

    route = "/api/v1/prices/period?ticker=btc_usd"
    base = "1970-01-01T00:00:"
    assert await stamps(f"{base}10Z", f"{base}12Z") == [10, 11, 12]
    assert await stamps(f"{base}10.001Z", f"{base}11.999Z") == [11]
    assert await stamps(f"{base}10.2Z", f"{base}10.8Z") == []


async def test_date_alone_means_its_start(api: Api, sql: asyncpg.Connection) -> None:
    midnight = 1_768_521_600
    await store(sql, [midnight - 60, midnight, midnight + 60])
    answer = await api.get("/api/v1/prices/period?ticker=btc_usd&from_dt=2026-01-16")
    assert answer.stamps == [midnight, midnight + 60]


async def test_reversed_range_names_the_bad_parameter(api: Api) -> None:
    answer = await api.get(f"/api/v1/prices/period?ticker=btc_usd&from_dt={T0 + 1}&to_dt={T0}000")
    assert answer.faults == {"from_dt": "must not be after to_dt"}


async def test_moments_before_1970_are_moments(api: Api, sql: asyncpg.Connection) -> None:
    await store(sql, [-120, -60, 0])
    route = "/api/v1/prices/period?ticker=btc_usd"
    assert (await api.get(f"{route}&from_dt=-60")).stamps == [-60, 0]
    assert (await api.get(f"{route}&to_dt=1969-12-31T23:59:00Z")).stamps == [-120, -60]
    assert (await api.get(f"{route}&from_dt={FIRST_SECOND}&to_dt=-121")).stamps == []
    assert (await api.get(f"{route}&to_dt=9999-12-31T23:59:59.999Z")).stamps == [-120, -60, 0]


async def test_seconds_of_range_over_rows_of_seconds_find_them(
    api: Api, sql: asyncpg.Connection
) -> None:
    """Seconds and milliseconds were mixed elsewhere, so a range found nothing."""
    await store(sql, SLOTS)
    for unit in ("", "000"):
        span = f"from_dt={SLOTS[0]}{unit}&to_dt={SLOTS[2]}{unit}"
        assert (await api.get(f"/api/v1/prices/period?ticker=btc_usd&{span}")).stamps == SLOTS


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
