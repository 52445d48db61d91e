"""The newest price, and the price at a moment."""

import asyncpg

from tests.api.client import ApiClient
from tests.repositories.rows import store
from tests.waiting import until

LATEST = "/api/v1/prices/latest?ticker=btc_usd"
AT = "/api/v1/prices/at?ticker=btc_usd"


async def _store_with_age(sql: asyncpg.Connection, age: int) -> int:
    """Store a price so many seconds old and give its slot."""
    slot = int(await sql.fetchval("SELECT floor(extract(epoch FROM clock_timestamp()))")) - age
    await store(sql, [slot])
    return slot


async def test_latest_has_the_shape_of_the_contract(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    await store(sql, [60, 0])
    slot = await _store_with_age(sql, 12)
    body = (await api.get(LATEST)).json()
    assert 12 <= body.pop("age_seconds") < 40
    assert body == {
        "exchange": "deribit",
        "ticker": "btc_usd",
        "timestamp": slot,
        "price": 60123.5,
        "source": "live",
        "stale": False,
    }


async def test_latest_is_stale_when_older_than_two_intervals(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    await _store_with_age(sql, 121)
    assert (await api.get(LATEST)).json()["stale"] is True
    await _store_with_age(sql, 100)
    await until(lambda: _is_not_too_old(api))


async def _is_not_too_old(api: ApiClient) -> bool:
    fresh: bool = not (await api.get(LATEST)).json()["stale"]
    return fresh


async def test_age_is_never_below_zero(api: ApiClient, sql: asyncpg.Connection) -> None:
    await _store_with_age(sql, -3600)
    body = (await api.get(f"{LATEST}&max_age_seconds=0")).json()
    assert (body["age_seconds"], body["stale"]) == (0, False)


async def test_latest_older_than_asked_for_is_a_404(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    await _store_with_age(sql, 100)
    answer = await api.get(f"{LATEST}&max_age_seconds=99")
    assert (answer.status, answer.code) == (404, "price_too_old")
    assert (await api.get(f"{LATEST}&max_age_seconds=200")).status == 200


async def test_latest_before_anything_is_stored_says_so(api: ApiClient) -> None:
    for path in (LATEST, f"{LATEST}&max_age_seconds=1"):
        answer = await api.get(path)
        assert (answer.status, answer.code) == (404, "no_price_yet")
    at = await api.get(f"{AT}&timestamp=60")
    assert (at.status, at.code) == (404, "no_price_near")


async def test_ages_that_make_no_sense_are_refused(api: ApiClient) -> None:
    for text in ("-1", "1e20", "9" * 25, "NaN", "", "%00", "ten"):
        answer = await api.get(f"{LATEST}&max_age_seconds={text}")
        assert set(answer.errors_by_parameter) == {"max_age_seconds"}
        answer = await api.get(f"{AT}&timestamp=1&tolerance_seconds={text}")
        assert set(answer.errors_by_parameter) == {"tolerance_seconds"}


async def test_every_bad_parameter_has_its_entry(api: ApiClient) -> None:
    answer = await api.get("/api/v1/prices/at?ticker=%20&timestamp=x&tolerance_seconds=y")
    assert set(answer.errors_by_parameter) == {"ticker", "timestamp", "tolerance_seconds"}
    missing = await api.get("/api/v1/prices/at")
    assert set(missing.errors_by_parameter) == {"ticker", "timestamp"}


async def test_at_takes_the_newest_price_within_the_tolerance(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    await store(sql, [600, 660, 6000])
    expected = {
        "timestamp=660": 660,
        "timestamp=659": 600,
        "timestamp=780": 660,
        "timestamp=660&tolerance_seconds=0": 660,
        "timestamp=5999&tolerance_seconds=5339": 660,
        "timestamp=9999&tolerance_seconds=10000000000": 6000,
        "timestamp=253402300799999&tolerance_seconds=10000000000": None,
        "timestamp=599": None,
        "timestamp=781": None,
        "timestamp=661&tolerance_seconds=0": None,
        "timestamp=-62135596800": None,
    }
    for query, slot in expected.items():
        answer = await api.get(f"{AT}&{query}")
        if slot is None:
            assert (answer.status, answer.code) == (404, "no_price_near"), query
        else:
            assert answer.json()["timestamp"] == slot, query


async def test_price_at_a_moment_has_the_shape_of_the_contract(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    await store(sql, [660], source="backfill")
    assert (await api.get(f"{AT}&timestamp=700.")).status == 422
    assert (await api.get(f"{AT}&timestamp=700")).json() == {
        "exchange": "deribit",
        "ticker": "btc_usd",
        "timestamp": 660,
        "price": 60123.5,
        "source": "backfill",
    }


async def test_upper_case_ticker_finds_the_same_rows(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    """Elsewhere upper-case tickers were accepted and matched nothing."""
    await store(sql, [660])
    lower = await api.get(f"{AT}&timestamp=700")
    for ticker in ("BTC_USD", "Btc_Usd"):
        path = f"/api/v1/prices/at?ticker={ticker}&exchange=DERIBIT&timestamp=700"
        assert (await api.get(path)).body == lower.body


async def test_several_tickers_come_in_the_order_asked(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    slot = await _store_with_age(sql, 5)
    await store(sql, [slot - 60], ticker="eth_usd")
    await store(sql, [slot - 120], ticker="btc_usd", exchange="kraken", source="import")
    path = "/api/v1/prices/latest?ticker=eth_usd&ticker=BTC_usd&ticker=Kraken:btc_usd"
    answer = (await api.get(f"{path}&ticker=eth_usd")).json()
    assert set(answer) == {"items"}
    body = [(one["exchange"], one["ticker"], one["timestamp"]) for one in answer["items"]]
    assert body == [
        ("deribit", "eth_usd", slot - 60),
        ("deribit", "btc_usd", slot),
        ("kraken", "btc_usd", slot - 120),
        ("deribit", "eth_usd", slot - 60),
    ]
    single = (await api.get(LATEST)).json()
    assert [set(one) for one in answer["items"]] == [set(single)] * 4


async def test_exchange_counts_for_the_tickers_that_name_none(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    slot = await _store_with_age(sql, 5)
    await store(sql, [slot], exchange="kraken")
    both = "/api/v1/prices/latest?ticker=btc_usd&ticker=deribit:btc_usd&exchange=kraken"
    items = (await api.get(both)).json()["items"]
    assert [one["exchange"] for one in items] == ["kraken", "deribit"]
    one = (await api.get("/api/v1/prices/latest?ticker=kraken:btc_usd")).json()
    assert (one["exchange"], one["timestamp"]) == ("kraken", slot)


async def test_tickers_joined_by_a_comma_are_told_the_right_way(api: ApiClient) -> None:
    answer = await api.get("/api/v1/prices/latest?ticker=btc_usd,eth_usd")
    assert answer.status == 422
    assert answer.json()["detail"] == "ticker: give ticker several times, one name each"


async def test_one_ticker_among_several_that_has_no_price_is_named(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    await _store_with_age(sql, 200)
    for more, code, named in (
        ("&ticker=nope", "ticker_not_found", "deribit:nope"),
        ("&ticker=eth_usd", "no_price_yet", "deribit:eth_usd"),
        ("&ticker=btc_usd&max_age_seconds=10", "price_too_old", "deribit:btc_usd"),
    ):
        answer = await api.get(f"{LATEST}{more}")
        assert (answer.status, answer.code) == (404, code)
        assert named in answer.json()["detail"]
    for bad in ("", "a:b:c", ":", "a:", "x" * 65):
        assert set((await api.get(f"{LATEST}&ticker={bad}")).errors_by_parameter) == {"ticker"}


async def test_no_price_near_tells_where_data_begins_and_ends(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    empty = await api.get(f"{AT}&timestamp=5000")
    assert (empty.code, empty.json()["detail"].endswith("; nothing is stored of it yet")) == (
        "no_price_near",
        True,
    )
    await store(sql, [660, 1_768_579_260])
    for moment in (5000, 60):
        answer = await api.get(f"{AT}&timestamp={moment}")
        assert answer.json()["detail"] == (
            f"no price of deribit:btc_usd within 120 s before {moment}; its prices begin at "
            "660 (1970-01-01T00:11:00Z) and end at 1768579260 (2026-01-16T16:01:00Z)"
        )
