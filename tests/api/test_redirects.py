"""Short addresses lead to the routes."""

import asyncpg

from tests.api.client import ApiClient
from tests.repositories.rows import store


async def test_short_address_keeps_path_and_query(api: ApiClient) -> None:
    for path in (
        "/prices?ticker=btc_usd",
        "/prices/latest?ticker=btc_usd&max_age_seconds=5",
        "/prices/period?ticker=btc_usd&from_dt=2026-01-16T18:01:00%2B02:00",
        "/prices/period?ticker=btc_usd&from_dt=2026-01-16T18:01:00+02:00",
        "/prices/history",
        "/prices/a%2Fb%3Fc%23d?x=%26&y=",
        "/tasks/0b2f6a0e-6c0e-4b43-9d5c-0a3b2f1f3c11",
        "/prices//evil.example/",
    ):
        answer = await api.get(path)
        assert (answer.status, answer.headers["location"]) == (308, f"/api/v1{path}")


async def test_short_address_keeps_the_method(api: ApiClient) -> None:
    answer = await api.post("/tasks/fetch-prices")
    assert (answer.status, answer.headers["location"]) == (308, "/api/v1/tasks/fetch-prices")
    followed = await api.post(answer.headers["location"])
    assert followed.status == 202


async def test_following_a_short_address_reads_the_price(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    await store(sql, [60])
    short = await api.get("/prices/at?ticker=btc_usd&timestamp=90")
    assert (await api.get(short.headers["location"])).json()["timestamp"] == 60


async def test_line_break_in_an_address_adds_no_header(api: ApiClient) -> None:
    for path in ("/prices/x%0d%0aSet-Cookie:%20evil=1", "/prices?x=%0d%0aSet-Cookie:%20evil=1"):
        answer = await api.get(path)
        assert answer.status in {404, 308}
        assert "set-cookie" not in answer.headers
