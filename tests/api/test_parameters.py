"""Unknown parameters are refused, and the nearest known one is named."""

from typing import Any

import asyncpg
import pytest

from app.api.unknown_parameters import closest_parameter
from tests.api.client import Answer, ApiClient
from tests.repositories.rows import store

PRICES = "/api/v1/prices"
VALUES = {"ticker": "btc_usd", "timestamp": "60", "interval": "1h", "task_id": "0"}


async def _operations(api: ApiClient) -> list[tuple[str, str, dict[str, Any]]]:
    document = (await api.get("/openapi.json")).json()
    return [
        (method.upper(), path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if path.startswith("/api/v1/")
    ]


def _url_with_required_parameters(path: str, operation: dict[str, Any]) -> str:
    """Return the URL of a route with all its required parameters."""
    required = [one for one in operation.get("parameters", []) if one["required"]]
    query = [f"{one['name']}={VALUES[one['name']]}" for one in required if one["in"] == "query"]
    return f"{path.format(**VALUES)}?{'&'.join(query)}"


async def test_every_route_refuses_what_it_does_not_know(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    await store(sql, [60])
    operations = await _operations(api)
    assert len(operations) >= 13
    for method, path, operation in operations:
        address = _url_with_required_parameters(path, operation)
        without_body = "HEAD" if path.endswith("/stream") else method  # which has no end
        good = await api.send(without_body, address, headers={"X-API-Key": "right-key"})
        assert good.status != 422, address
        for name in ("frobnicate", "", "Ticker", "%20", "from"):
            answer = await api.send(
                method, f"{address}&{name}=1", headers={"X-API-Key": "right-key"}
            )
            (message,) = answer.errors_by_parameter.values()
            assert message.startswith("is unknown"), (address, name)


async def test_every_single_parameter_of_every_route_is_refused_twice(api: ApiClient) -> None:
    for method, path, operation in await _operations(api):
        for parameter in operation.get("parameters", []):
            name = parameter["name"]
            if parameter["in"] != "query" or parameter["schema"].get("type") == "array":
                continue
            answer = await api.send(
                method, f"{path}?{name}=1&{name}=1", headers={"X-API-Key": "right-key"}
            )
            assert answer.errors_by_parameter == {
                name: "is given 2 times, and may be given once"
            }, path


@pytest.mark.parametrize(
    ("query", "name", "meant"),
    [
        ("period?ticker=btc_usd&from=2026-01-01", "from", "from_dt"),
        ("period?ticker=btc_usd&start=2026-01-01", "start", "from_dt"),
        ("filter?ticker=btc_usd&since=2026-01-01", "since", "from_dt"),
        ("period?ticker=btc_usd&until=2026-01-01", "until", "to_dt"),
        ("export?ticker=btc_usd&end=2026-01-01", "end", "to_dt"),
        ("candles?ticker=btc_usd&interval=1h&to=2026-01-01", "to", "to_dt"),
        ("period?ticker=btc_usd&form_dt=2026-01-01", "form_dt", "from_dt"),
        ("period?ticker=btc_usd&fromDt=2026-01-01", "fromDt", "from_dt"),
        ("period?ticker=btc_usd&from-dt=2026-01-01", "from-dt", "from_dt"),
        ("latest?symbol=btc_usd", "symbol", "ticker"),
        ("latest?pair=btc_usd", "pair", "ticker"),
        ("latest?tickers=btc_usd", "tickers", "ticker"),
        ("latest?ticker=btc_usd&maxage=5", "maxage", "max_age_seconds"),
        ("history?ticker=btc_usd&limits=5", "limits", "limit"),
        ("at?ticker=btc_usd&time=5", "time", "timestamp"),
        ("candles?ticker=btc_usd&resolution=60", "resolution", "interval"),
        ("export?ticker=btc_usd&Format=csv", "Format", "format"),
    ],
)
async def test_nearest_known_parameter_is_named(
    api: ApiClient, query: str, name: str, meant: str
) -> None:
    answer = await api.get(f"{PRICES}/{query}")
    assert answer.errors_by_parameter[name].startswith(f"is unknown; did you mean {meant}?")
    assert f"did you mean {meant}?" in answer.json()["detail"]


async def test_what_resembles_nothing_is_told_what_there_is(api: ApiClient) -> None:
    answer = await api.get(f"{PRICES}/latest?ticker=btc_usd&xyz=1&qqq=2")
    known = "is unknown; known are ticker, exchange, max_age_seconds"
    assert answer.errors_by_parameter == {"xyz": known, "qqq": known}
    assert (await api.get("/api/v1/tickers?ticker=btc_usd")).errors_by_parameter == {
        "ticker": "is unknown; there are no parameters here"
    }


async def test_long_name_is_not_thrown_back_whole(api: ApiClient) -> None:
    answer = await api.get(f"{PRICES}/latest?ticker=btc_usd&{'x' * 10_000}=1")
    assert answer.status == 422
    assert len(answer.body) < 1_000


async def test_key_is_looked_at_first(api: ApiClient) -> None:
    for path in ("/api/v1/tasks/fetch-prices", "/api/v1/tasks/backfill"):
        assert (await api.post(f"{path}?from=1", key=None)).status == 401
        assert (await api.post(f"{path}?from=1", key="wrong")).status == 403
        assert "from" in (await api.post(f"{path}?from=1")).errors_by_parameter


async def test_short_addresses_keep_what_is_refused_then(api: ApiClient) -> None:
    moved = await api.get("/prices/latest?symbol=btc_usd")
    assert (moved.status, moved.headers["location"]) == (308, f"{PRICES}/latest?symbol=btc_usd")
    assert "symbol" in (await api.get(moved.headers["location"])).errors_by_parameter


async def test_unknown_parameters_elsewhere_are_ignored(api: ApiClient) -> None:
    for path in ("/health/live", "/health/ready", "/metrics", "/openapi.json", "/docs"):
        assert (await api.get(f"{path}?utm_source=x&utm_source=y")).status == 200, path


async def test_head_is_refused_as_a_get_is(api: ApiClient) -> None:
    answer: Answer = await api.send("HEAD", f"{PRICES}/latest?symbol=btc_usd")
    assert answer.status == 422


async def test_known_parameters_pass_in_every_spelling_of_a_url(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    await store(sql, [60])
    for query in ("tick%65r=btc_usd", "ticker=btc%5Fusd&", "&ticker=btc_usd&&limit=1"):
        assert (await api.get(f"{PRICES}?{query}")).timestamps == [60], query


def test_synonym_helps_only_where_the_parameter_exists() -> None:
    assert closest_parameter("from", {"from_dt": False, "to_dt": False}) == "from_dt"
    assert closest_parameter("symbol", {"limit": False}) is None
    assert closest_parameter("LIMIT", {"limit": False}) == "limit"
