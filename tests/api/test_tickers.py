"""The list of tickers, and what is known of a ticker."""

import asyncpg

from tests.api.client import ApiClient
from tests.repositories.rows import store

UNKNOWN = [
    "/api/v1/prices?ticker=nope_usd",
    "/api/v1/prices/latest?ticker=nope_usd",
    "/api/v1/prices/history?ticker=nope_usd",
    "/api/v1/prices/period?ticker=nope_usd",
    "/api/v1/prices/filter?ticker=nope_usd",
    "/api/v1/prices/at?ticker=nope_usd&timestamp=1",
    "/api/v1/prices?ticker=btc_usd&exchange=elsewhere",
]


async def _record(sql: asyncpg.Connection, ticker: str, first: int, last: int | None) -> None:
    await sql.execute(
        "INSERT INTO recordings VALUES ('deribit', $1, $2, $3, 30)", ticker, first, last
    )


async def test_tickers_tell_what_is_stored_of_each(api: ApiClient, sql: asyncpg.Connection) -> None:
    await _record(sql, "btc_usd", 0, None)
    await _record(sql, "old_usd", 0, 300)
    await store(sql, [60, 120, 180])
    await store(sql, [90], ticker="old_usd")
    await store(sql, [30, 60], ticker="imported_usd", exchange="abroad", source="import")

    def item(ticker: str, rows: tuple[int | None, int | None, int], **more: object) -> object:
        first, last, count = rows
        base = {"exchange": "deribit", "ticker": ticker, "active": True, "interval_seconds": 30}
        return {**base, "first": first, "last": last, "rows": count, **more}

    answer = await api.get("/api/v1/tickers")
    assert answer.status == 200
    assert answer.json()["items"] == [
        item("imported_usd", (30, 60, 2), exchange="abroad", active=False, interval_seconds=60),
        item("btc_usd", (60, 180, 3)),
        item("eth_usd", (None, None, 0), interval_seconds=60),
        item("old_usd", (90, 90, 1), active=False),
    ]


async def test_unknown_ticker_is_a_404_that_names_the_known_ones(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    await _record(sql, "old_usd", 0, 300)
    await store(sql, [30], ticker="imported_usd", source="import")
    for path in UNKNOWN:
        answer = await api.get(path)
        assert (answer.status, answer.code) == (404, "ticker_not_found"), path
        for known in ("btc_usd", "eth_usd", "old_usd", "imported_usd"):
            assert f"deribit:{known}" in answer.json()["detail"]


async def test_ticker_that_was_only_imported_is_known(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    await store(sql, [30], ticker="imported_usd", source="import")
    empty = await api.get("/api/v1/prices/period?ticker=imported_usd&from_dt=60")
    assert (empty.status, empty.timestamps) == (200, [])
    latest = await api.get("/api/v1/prices/latest?ticker=imported_usd")
    assert latest.json()["stale"] is True
    near = await api.get("/api/v1/prices/at?ticker=imported_usd&timestamp=10000")
    assert near.code == "no_price_near"


async def test_ticker_that_can_not_exist_is_refused(api: ApiClient) -> None:
    hostile = [
        "",
        "%20",
        "%00",
        "btc_usd%00",
        "btc_usd%0A",
        "btc%20usd",
        "'%20OR%201=1%20--",
        "btc_usd;DROP%20TABLE%20prices",
        "%D0%B1%D1%82%D1%86",
        "%FF%FE",
        "../../etc/passwd",
        "%7B%7D",
        "a" * 65,
        "a" * 10_000,
    ]
    for text in hostile:
        answer = await api.get(f"/api/v1/prices/latest?ticker={text}")
        assert set(answer.errors_by_parameter) == {"ticker"}, text
        assert len(answer.body) < 1000
        answer = await api.get(f"/api/v1/prices/latest?ticker=btc_usd&exchange={text}")
        assert set(answer.errors_by_parameter) == {"exchange"}, text
