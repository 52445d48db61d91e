"""Times as they come in."""

import time

import asyncpg

from app.domain.times import FIRST_SECOND, LAST_SECOND
from tests.api.client import ApiClient
from tests.repositories.rows import store

TOLERANT = "tolerance_seconds=10000000"
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
    "Now",
    "now-1h",
    "-h",
    "-24H",
    "24h",
    "-1.5h",
    "-3h30",
    "-1h-30m",
    "-1y",
    "-1234567890s",
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
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    await store(sql, SLOTS)
    for form in SAME_MOMENT:
        after = await api.get(f"/api/v1/prices/period?ticker=btc_usd&from_dt={form}")
        before = await api.get(f"/api/v1/prices/filter?ticker=btc_usd&to_dt={form}")
        both = await api.get(f"/api/v1/prices/period?ticker=btc_usd&from_dt={form}&to_dt={form}")
        at = await api.get(f"/api/v1/prices/at?ticker=btc_usd&timestamp={form}")
        assert after.timestamps == SLOTS[1:], form
        assert before.timestamps == SLOTS[:2], form
        assert both.timestamps == [T0], form
        assert at.json()["timestamp"] == T0, form


async def test_what_is_no_moment_is_a_422_on_every_time_parameter(api: ApiClient) -> None:
    for text in NO_MOMENTS:
        quoted = text.replace(" ", "%20")
        for path in ("period?from_dt=", "filter?to_dt=", "at?timestamp="):
            answer = await api.get(f"/api/v1/prices/{path}{quoted}&ticker=btc_usd")
            name = path.partition("?")[2].rstrip("=")
            assert set(answer.errors_by_parameter) == {name}, text
            assert "UNIX seconds" in answer.errors_by_parameter[name]


async def test_moments_back_from_now_are_understood(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    now = int(time.time())
    ages = {"30s": 30, "90m": 5400, "24h": 86_400, "7d": 604_800, "1w6d24h": 1_209_600}
    await store(sql, [now - 3 * age for age in ages.values()])
    await store(sql, [now])
    for form, age in ages.items():
        older = [now - 3 * one for one in ages.values() if 3 * one > age]
        answer = await api.get(f"/api/v1/prices/period?ticker=btc_usd&to_dt=-{form}")
        assert answer.timestamps == sorted(older), form
        at = await api.get(f"/api/v1/prices/at?ticker=btc_usd&timestamp=-{form}&{TOLERANT}")
        assert at.json()["timestamp"] == max(older), form
    answer = await api.get("/api/v1/prices/period?ticker=btc_usd&from_dt=-10m&to_dt=now")
    assert answer.timestamps == [now - 90, now]
    assert (await api.get("/api/v1/prices/at?ticker=btc_usd&timestamp=now")).status == 200


async def test_period_that_moves_with_the_clock_is_never_kept(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    """The same address means other rows a minute later, so no cache may keep it for an hour."""
    now = int(time.time()) // 60 * 60
    await store(sql, range(now - 1200, now, 60))
    recording = "INSERT INTO recordings VALUES ('deribit', 'btc_usd', $1, NULL, 60)"
    await sql.execute(recording, now - 1200)
    route = "/api/v1/prices/period?ticker=btc_usd"
    moving = await api.get(f"{route}&from_dt=-15m&to_dt=-5m")
    fixed = await api.get(f"{route}&from_dt={now - 900}&to_dt={now - 300}")
    assert fixed.headers["cache-control"] == "public, max-age=3600"
    assert moving.headers["cache-control"] == "no-cache"


async def test_reversed_relative_range_is_refused(api: ApiClient) -> None:
    answer = await api.get("/api/v1/prices/period?ticker=btc_usd&from_dt=now&to_dt=-1s")
    assert answer.errors_by_parameter == {"from_dt": "must not be after to_dt"}


async def test_eight_digits_that_make_a_date_are_one(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    """Seconds of August 1970 instead of October 2026 were a wrong answer without a word."""
    october = 1_790_812_800
    await store(sql, [20_261_001, 20_261_060, october - 60, october, october + 60])
    route = "/api/v1/prices/period?ticker=btc_usd"
    assert (await api.get(f"{route}&from_dt=20261001")).timestamps == [october, october + 60]
    assert (await api.get(f"{route}&from_dt=20261001&to_dt=20261001")).timestamps == [october]
    assert (await api.get(f"{route}&from_dt=20261301&to_dt=20261399")).timestamps == []
    at = await api.get("/api/v1/prices/at?ticker=btc_usd&timestamp=20261001")
    assert at.json()["timestamp"] == october


async def test_next_page_of_a_period_whose_seconds_look_like_a_date(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    first = 20_261_001
    await store(sql, range(first, first + 300, 60))
    route = "/api/v1/prices/period?ticker=btc_usd&limit=2&from_dt=1970-08-23T12:03:21Z"
    stamps: list[int] = []
    while route:
        page = await api.get(route)
        stamps += page.timestamps
        route = page.json()["next"]
    assert stamps == list(range(first, first + 300, 60))


async def test_fractions_of_a_second_round_inwards(api: ApiClient, sql: asyncpg.Connection) -> None:
    await store(sql, [10, 11, 12])

    async def timestamps_between(start: str, end: str) -> list[int]:
        return (await api.get(f"{route}&from_dt={start}&to_dt={end}")).timestamps

    route = "/api/v1/prices/period?ticker=btc_usd"
    base = "1970-01-01T00:00:"
    assert await timestamps_between(f"{base}10Z", f"{base}12Z") == [10, 11, 12]
    assert await timestamps_between(f"{base}10.001Z", f"{base}11.999Z") == [11]
    assert await timestamps_between(f"{base}10.2Z", f"{base}10.8Z") == []


async def test_date_alone_means_its_start(api: ApiClient, sql: asyncpg.Connection) -> None:
    midnight = 1_768_521_600
    await store(sql, [midnight - 60, midnight, midnight + 60])
    answer = await api.get("/api/v1/prices/period?ticker=btc_usd&from_dt=2026-01-16")
    assert answer.timestamps == [midnight, midnight + 60]


async def test_reversed_range_names_the_bad_parameter(api: ApiClient) -> None:
    answer = await api.get(f"/api/v1/prices/period?ticker=btc_usd&from_dt={T0 + 1}&to_dt={T0}000")
    assert answer.errors_by_parameter == {"from_dt": "must not be after to_dt"}


async def test_moments_before_1970_are_moments(api: ApiClient, sql: asyncpg.Connection) -> None:
    await store(sql, [0, 60])
    route = "/api/v1/prices/period?ticker=btc_usd"
    assert (await api.get(f"{route}&from_dt=-60")).timestamps == [0, 60]
    assert (await api.get(f"{route}&to_dt=1969-12-31T23:59:00Z")).timestamps == []
    assert (await api.get(f"{route}&from_dt={FIRST_SECOND}&to_dt=0")).timestamps == [0]
    assert (await api.get(f"{route}&to_dt=9999-12-31T23:59:59.999Z")).timestamps == [0, 60]


async def test_seconds_of_range_over_rows_of_seconds_find_them(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    """Seconds and milliseconds were mixed elsewhere, so a range found nothing."""
    await store(sql, SLOTS)
    for unit in ("", "000"):
        span = f"from_dt={SLOTS[0]}{unit}&to_dt={SLOTS[2]}{unit}"
        assert (await api.get(f"/api/v1/prices/period?ticker=btc_usd&{span}")).timestamps == SLOTS
