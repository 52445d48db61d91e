"""Lists of prices, page by page."""

import asyncio
from collections.abc import AsyncIterator
from itertools import chain, pairwise
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from tests.api.client import Answer, ApiClient
from tests.repositories.rows import store

T0 = 1_768_579_200
SLOTS = [T0 + 60 * number for number in range(25)]
LISTS = [
    "/api/v1/prices?ticker=btc_usd&limit={limit}",
    "/api/v1/prices?ticker=btc_usd&limit={limit}&order=desc",
    "/api/v1/prices/history?ticker=btc_usd&limit={limit}",
    "/api/v1/prices/period?ticker=btc_usd&limit={limit}",
    "/api/v1/prices/filter?ticker=btc_usd&limit={limit}",
]


async def pages(api: ApiClient, path: str | None) -> AsyncIterator[Answer]:
    """Follow `next` to the end."""
    while path is not None:
        answer = await api.get(path)
        assert answer.status == 200, answer.body
        yield answer
        path = answer.json()["next"]
        link = answer.headers.get("link")
        assert link == (None if path is None else f'<{path}>; rel="next"')


def _flatten(pages_read: list[list[int]]) -> list[int]:
    return list(chain.from_iterable(pages_read))


@pytest.mark.parametrize("path", LISTS)
async def test_following_next_gives_every_row_once(
    api: ApiClient, sql: asyncpg.Connection, path: str
) -> None:
    await store(sql, SLOTS)
    await store(sql, SLOTS, ticker="eth_usd")
    await store(sql, SLOTS, exchange="other")
    goes_back = "desc" in path or "history" in path
    for limit in (1, 7, 25, 26):
        pages_read = [page.timestamps async for page in pages(api, path.format(limit=limit))]
        assert _flatten(pages_read) == sorted(SLOTS, reverse=goes_back)
        assert {len(timestamps) for timestamps in pages_read[:-1]} <= {limit}
        assert pages_read[-1], "next must be null on the last page, not on an empty one after it"


async def test_list_has_the_shape_of_the_contract(api: ApiClient, sql: asyncpg.Connection) -> None:
    await store(sql, SLOTS[:1], price="95123.45")
    answer = await api.get("/api/v1/prices?ticker=btc_usd")
    assert answer.body == (
        b'{"exchange":"deribit","ticker":"btc_usd","count":1,"items":'
        b'[{"timestamp":1768579200,"price":95123.45,"source":"live"}],"next":null}'
    )
    assert answer.headers["content-type"] == "application/json"
    assert "link" not in answer.headers


async def test_rows_added_meanwhile_are_neither_lost_nor_doubled(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    await store(sql, SLOTS[5:15])
    up, down = [], []
    async for page in pages(api, LISTS[0].format(limit=4)):
        up += page.timestamps
        if len(up) == 4:
            await store(sql, SLOTS[15:])
    async for page in pages(api, LISTS[1].format(limit=4)):
        down += page.timestamps
        if len(down) == 4:
            await store(sql, SLOTS[:5])
            await store(sql, [T0 + 60_000])
    assert up == SLOTS[5:]
    assert down == SLOTS[::-1]


async def test_next_keeps_every_parameter_of_its_list(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    await store(sql, SLOTS)
    answer = await api.get(
        f"/api/v1/prices/period?ticker=BTC_usd&from_dt={SLOTS[2]}000&to_dt={SLOTS[20]}&limit=3"
    )
    url = urlsplit(answer.json()["next"])
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    cursor = query.pop("cursor")
    assert cursor
    assert url.path == "/api/v1/prices/period"
    assert query == {
        "ticker": "btc_usd",
        "exchange": "deribit",
        "from_dt": str(SLOTS[2]),
        "to_dt": str(SLOTS[20]),
        "limit": "3",
    }
    rest = [page.timestamps async for page in pages(api, answer.json()["next"])]
    assert answer.timestamps + _flatten(rest) == SLOTS[2:21]


async def test_filter_and_period_are_one_route(api: ApiClient, sql: asyncpg.Connection) -> None:
    await store(sql, SLOTS)
    query = f"?ticker=btc_usd&from_dt={SLOTS[3]}&limit=5"
    by_filter = await api.get(f"/api/v1/prices/filter{query}")
    by_period = await api.get(f"/api/v1/prices/period{query}")
    assert by_filter.body == by_period.body


@pytest.mark.parametrize(
    ("path", "default"), [("/api/v1/prices", 1000), ("/api/v1/prices/history", 100)]
)
async def test_limit_has_its_default(
    api: ApiClient, sql: asyncpg.Connection, path: str, default: int
) -> None:
    await store(sql, range(0, 60 * (default + 1), 60))
    answer = await api.get(f"{path}?ticker=btc_usd")
    assert answer.json()["count"] == len(answer.json()["items"]) == default
    assert f"limit={default}" in answer.json()["next"]


async def test_ten_thousand_rows_fit_on_a_page(api: ApiClient, sql: asyncpg.Connection) -> None:
    await store(sql, range(10_001))
    answer = await api.get("/api/v1/prices/period?ticker=btc_usd&limit=10000")
    assert answer.timestamps == list(range(10_000))
    rest = await api.get(answer.json()["next"])
    assert (rest.timestamps, rest.json()["next"]) == ([10_000], None)


async def test_limit_out_of_bounds_is_refused(api: ApiClient) -> None:
    for limit in ("0", "-1", "10001", "1e20", "1" * 30, "ten", "", "1.5", "NaN", "%00"):
        for route in ("prices", "prices/history", "prices/period"):
            answer = await api.get(f"/api/v1/{route}?ticker=btc_usd&limit={limit}")
            assert set(answer.errors_by_parameter) == {"limit"}


async def _cursor(api: ApiClient, path: str) -> str:
    page = await api.get(path)
    return parse_qs(urlsplit(str(page.json()["next"])).query)["cursor"][0]


async def test_cursor_of_another_list_is_refused(api: ApiClient, sql: asyncpg.Connection) -> None:
    await store(sql, SLOTS)
    cursor = await _cursor(api, "/api/v1/prices?ticker=btc_usd&limit=3")
    for elsewhere in (
        "?ticker=eth_usd",
        "?ticker=btc_usd&order=desc",
        "?ticker=btc_usd&exchange=other",
        "/history?ticker=btc_usd",
        "/period?ticker=btc_usd",
    ):
        answer = await api.get(f"/api/v1/prices{elsewhere}&cursor={cursor}")
        assert answer.errors_by_parameter == {"cursor": "belongs to another list, ticker or order"}


async def test_garbage_is_no_cursor(api: ApiClient) -> None:
    for cursor in ("", "x", "null", "%00", "MTc2OC4", "=" * 9, "%F0%9F%92%A9", "a" * 100):
        answer = await api.get(f"/api/v1/prices?ticker=btc_usd&cursor={cursor}")
        assert answer.errors_by_parameter == {"cursor": "is no cursor that this service gave out"}
    too_long = await api.get(f"/api/v1/prices?ticker=btc_usd&cursor={'a' * 101}")
    assert set(too_long.errors_by_parameter) == {"cursor"}


async def test_known_ticker_without_rows_is_an_empty_list(api: ApiClient) -> None:
    for path in LISTS:
        answer = await api.get(path.format(limit=5))
        assert (answer.status, answer.timestamps) == (200, [])
        assert (answer.json()["count"], answer.json()["next"]) == (0, None)


async def test_unknown_order_is_refused(api: ApiClient) -> None:
    answer = await api.get("/api/v1/prices?ticker=btc_usd&order=random")
    assert set(answer.errors_by_parameter) == {"order"}


async def test_many_clients_at_once_are_all_served(api: ApiClient, sql: asyncpg.Connection) -> None:
    """Elsewhere 51 of 300 requests failed at 120 clients, with an engine per request."""
    await store(sql, SLOTS)
    paths = [LISTS[0].format(limit=25), "/api/v1/prices/latest?ticker=btc_usd"] * 60
    answers = await asyncio.gather(*map(api.get, paths))
    assert {answer.status for answer in answers} == {200}
    backends = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    assert await sql.fetchval(f"{backends} AND application_name LIKE 'prices%'") <= 10


async def test_sources_come_as_they_are_stored(api: ApiClient, sql: asyncpg.Connection) -> None:
    sources = ["live", "backfill", "import"]
    for number, source in enumerate(sources):
        await store(sql, [number], source=source)
    answer = await api.get("/api/v1/prices?ticker=btc_usd")
    assert [item["source"] for item in answer.json()["items"]] == sources


async def test_descending_pages_never_rise(api: ApiClient, sql: asyncpg.Connection) -> None:
    await store(sql, SLOTS)
    pages_read = [page.timestamps async for page in pages(api, LISTS[2].format(limit=10))]
    assert all(a > b for a, b in pairwise(_flatten(pages_read)))
