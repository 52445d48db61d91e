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
from tests.repositories.rows import store

BTC = TickerKey("deribit", "btc_usd")
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


@pytest.mark.usefixtures("stored_minutes")
async def test_coverage_tells_what_is_there_and_what_is_missing(api: ApiClient) -> None:
    assert (await api.get("/api/v1/coverage?ticker=BTC_usd")).json() == {
        "exchange": "deribit",
        "ticker": "btc_usd",
        "from": START,
        "to": START + 540,
        "interval_seconds": 60,
        "expected": 10,
        "stored": 6,
        "live": 3,
        "backfilled": 2,
        "imported": 1,
        "missing": 4,
        "longest_gap": 2,
        "gaps": GAPS,
        "next": None,
    }


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


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("ticker=nope_usd", 404, "ticker_not_found"),
        ("", 422, "parameters_invalid"),
        ("ticker=btc_usd&from_dt=2&to_dt=1", 422, "parameters_invalid"),
        ("ticker=btc_usd&limit=0", 422, "parameters_invalid"),
        ("ticker=btc_usd&cursor=nonsense", 422, "parameters_invalid"),
    ],
)
async def test_nonsense_is_a_clear_error(
    api: ApiClient, query: str, status: int, code: str
) -> None:
    answer = await api.get(f"/api/v1/coverage?{query}")
    assert (answer.status, answer.json()["code"]) == (status, code)
