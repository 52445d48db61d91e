"""Coverage over HTTP."""

import asyncpg
import pytest

from app.domain.gaps import Gap, Reason
from app.domain.prices import TickerKey
from app.domain.recordings import Recording
from app.domain.slots import Slot
from app.postgres.database import Database
from app.repositories import recordings, unfillable
from tests.api.client import ApiClient
from tests.repositories.rows import add_recording, store

BTC = TickerKey("deribit", "btc_usd")
DAY = 86_400
START = 1_768_579_200


@pytest.fixture
async def stored_minutes(database: Database, sql: asyncpg.Connection) -> None:
    """Ten minutes of which the second and third, the sixth, and the ninth are missing."""
    async with database.transaction() as session:
        last = Slot(START + 540)
        await recordings.upsert(session, [Recording(BTC, 60, Slot(START), last)])
        gap = Gap(Slot(START + 300), Slot(START + 300), 60, Reason.CHART_TOO_COARSE)
        await unfillable.upsert(session, BTC, [gap])
    await store(sql, [START + 60 * minute for minute in (0, 3, 4)])
    await store(sql, [START + 60 * minute for minute in (6, 7)], source="backfill")
    await store(sql, [START + 540], source="import")


def _gap(first: int, last: int, reason: str = "beyond_lookback") -> dict[str, object]:
    missing = (last - first) // 60 + 1
    return {"from": START + first, "to": START + last, "missing": missing, "reason": reason}


GAPS = [_gap(60, 120), _gap(300, 300, "chart_too_coarse"), _gap(480, 480)]
COUNTS = {"expected": 10, "live": 3, "backfilled": 2, "imported": 1, "missing": 4}
TOTALS = {
    "exchange": "deribit",
    "ticker": "btc_usd",
    "from": START,
    "to": START + 540,
    "interval_seconds": 60,
    "stored": 6,
    **COUNTS,
}


@pytest.mark.usefixtures("stored_minutes")
async def test_coverage_tells_what_is_there_and_what_is_missing(api: ApiClient) -> None:
    coverage = (await api.get("/api/v1/coverage?ticker=BTC_usd")).json()
    assert coverage == {**TOTALS, "longest_gap": 2, "gaps": GAPS, "next": None}


@pytest.mark.usefixtures("stored_minutes")
async def test_period_bounds_are_inclusive(api: ApiClient) -> None:
    url = f"/api/v1/coverage?ticker=btc_usd&from_dt={START + 120}&to_dt={START + 300}"
    body = (await api.get(url)).json()
    assert (body["from"], body["to"]) == (START + 120, START + 300)
    assert (body["expected"], body["missing"]) == (4, 2)
    assert body["gaps"] == [_gap(120, 120), GAPS[1]]


@pytest.mark.usefixtures("stored_minutes")
async def test_gaps_come_page_by_page(api: ApiClient) -> None:
    url, pages = "/api/v1/coverage?ticker=btc_usd&limit=2", []
    while url:
        answer = await api.get(url)
        pages.append(answer.json())
        url = pages[-1]["next"]
        assert answer.headers.get("link") == (url and f'<{url}>; rel="next"')
    assert [page["gaps"] for page in pages] == [GAPS[:2], GAPS[2:]]
    assert {page["missing"] for page in pages} == {4}


async def test_ticker_that_was_never_recorded_is_expected_nothing_of(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    await store(sql, [START], ticker="old_usd", source="import")
    body = (await api.get("/api/v1/coverage?ticker=old_usd")).json()
    assert (body["from"], body["to"], body["expected"], body["gaps"]) == (None, None, 0, [])
    by_day = (await api.get("/api/v1/coverage?ticker=old_usd&by=day")).json()
    assert (by_day["from"], by_day["expected"], by_day["items"]) == (None, 0, [])


@pytest.mark.usefixtures("stored_minutes")
async def test_coverage_by_day_and_by_hour_counts_the_same_slots(api: ApiClient) -> None:
    for period, start in (("day", 1_768_521_600), ("hour", START)):
        answer = await api.get(f"/api/v1/coverage?ticker=BTC_usd&by={period}")
        items = [{"timestamp": start, **COUNTS}]
        assert answer.json() == {**TOTALS, "count": 1, "items": items, "next": None}
        assert "link" not in answer.headers


@pytest.mark.usefixtures("stored_minutes")
async def test_day_at_the_edge_is_counted_as_far_as_the_period_reaches(api: ApiClient) -> None:
    url = f"/api/v1/coverage?ticker=btc_usd&from_dt={START + 120}&to_dt={START + 300}&by=day"
    body = (await api.get(url)).json()
    assert (body["from"], body["to"], body["expected"], body["missing"]) == (
        START + 120,
        START + 300,
        4,
        2,
    )
    (item,) = body["items"]
    assert (item["timestamp"], item["expected"], item["missing"]) == (1_768_521_600, 4, 2)


async def test_days_come_page_by_page_and_the_running_one_is_counted_to_the_present(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    """The newest row says that the exchange is at 10 s past its slot."""
    day = 1_768_521_600
    await add_recording(sql, day - 2 * DAY + 3600)
    await store(sql, range(day - 2 * DAY + 3600, day + 7200, 600), source="backfill")
    await sql.execute(
        "INSERT INTO prices (exchange, ticker, timestamp, price, observed_us, source, created_at)"
        " VALUES ('deribit', 'btc_usd', $1, 5, ($1::bigint + 10) * 1000000, 'live',"
        " clock_timestamp())",
        day + 7200,
    )
    url, pages = "/api/v1/coverage?ticker=btc_usd&by=day&limit=2", []
    while url:
        answer = await api.get(url)
        pages.append(answer.json())
        url = pages[-1]["next"]
        assert answer.headers.get("link") == (url and f'<{url}>; rel="next"')
    items = [item for page in pages for item in page["items"]]
    assert [item["timestamp"] for item in items] == [day - 2 * DAY, day - DAY, day]
    assert [item["expected"] for item in items] == [1380, 1440, 119]
    assert [item["backfilled"] for item in items] == [138, 144, 12]
    assert [page["count"] for page in pages] == [2, 1]
    assert {(page["expected"], page["live"], page["missing"]) for page in pages} == {
        (2939, 0, 2645)
    }


async def test_cursor_of_another_period_or_of_gaps_is_refused(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    await add_recording(sql, START, START + 7200)
    url = str((await api.get("/api/v1/coverage?ticker=btc_usd&by=hour&limit=1")).json()["next"])
    for changed in (url.replace("by=hour", "by=day"), url.replace("&by=hour", "")):
        assert set((await api.get(changed)).errors_by_parameter) == {"cursor"}


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("ticker=nope_usd", 404, "ticker_not_found"),
        ("", 422, "parameters_invalid"),
        ("ticker=btc_usd&from_dt=2&to_dt=1", 422, "parameters_invalid"),
        ("ticker=btc_usd&limit=0", 422, "parameters_invalid"),
        ("ticker=btc_usd&cursor=nonsense", 422, "parameters_invalid"),
        ("ticker=btc_usd&by=week", 422, "parameters_invalid"),
        ("ticker=btc_usd&by=", 422, "parameters_invalid"),
        ("ticker=nope_usd&by=day", 404, "ticker_not_found"),
    ],
)
async def test_nonsense_is_a_clear_error(
    api: ApiClient, query: str, status: int, code: str
) -> None:
    answer = await api.get(f"/api/v1/coverage?{query}")
    assert (answer.status, answer.json()["code"]) == (status, code)
