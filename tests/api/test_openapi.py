"""The description of the API is whole, valid, and true."""

import re
from collections.abc import Iterator
from typing import Any

import asyncpg
import jsonschema  # type: ignore[import-untyped]  # it ships no types

from tests.api.client import Answer, ApiClient
from tests.repositories.rows import store

METHODS = {"get", "post", "put", "patch", "delete", "head", "options", "trace"}
PRICES_ERRORS = {"404", "422", "503"}


async def _fetch_document(api: ApiClient) -> dict[str, Any]:
    answer = await api.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    document: dict[str, Any] = answer.json()
    return document


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        assert set(item) <= METHODS
        for method, operation in item.items():
            yield method, path, operation


def _references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for child in node.values():
            yield from _references(child)
    elif isinstance(node, list):
        for child in node:
            yield from _references(child)


async def test_every_route_of_the_contract_is_described(api: ApiClient) -> None:
    operations = {(method, path): o for method, path, o in _operations(await _fetch_document(api))}
    assert {key: operation["operationId"] for key, operation in operations.items()} == {
        ("get", "/api/v1/prices"): "list_prices",
        ("get", "/api/v1/prices/latest"): "latest_price",
        ("get", "/api/v1/prices/history"): "price_history",
        ("get", "/api/v1/prices/period"): "prices_of_period",
        ("get", "/api/v1/prices/filter"): "filter_prices",
        ("get", "/api/v1/prices/at"): "price_at",
        ("get", "/api/v1/prices/candles"): "candles",
        ("get", "/api/v1/prices/export"): "export_prices",
        ("get", "/api/v1/prices/stream"): "stream_prices",
        ("get", "/api/v1/tickers"): "list_tickers",
        ("get", "/api/v1/coverage"): "coverage",
        ("get", "/api/v1/status"): "service_status",
        ("post", "/api/v1/tasks/fetch-prices"): "fetch_prices",
        ("post", "/api/v1/tasks/backfill"): "backfill",
        ("get", "/api/v1/tasks/{task_id}"): "task_status",
        ("get", "/health/live"): "health_live",
        ("get", "/health/ready"): "health_ready",
        ("get", "/health/collector"): "health_collector",
        ("get", "/metrics"): "metrics",
        ("get", "/udf/config"): "udf_config",
        ("get", "/udf/symbols"): "udf_symbols",
        ("get", "/udf/search"): "udf_search",
        ("get", "/udf/time"): "udf_time",
        ("get", "/udf/history"): "udf_history",
    }


async def test_every_operation_is_told_in_words_with_an_example(api: ApiClient) -> None:
    document = await _fetch_document(api)
    for method, path, operation in _operations(document):
        assert operation["summary"], path
        assert operation["description"], path
        assert operation["tags"], path
        for parameter in operation.get("parameters", []):
            assert parameter["description"], (path, parameter["name"])
        success = operation["responses"]["202" if method == "post" else "200"]
        contents = [content["schema"] for content in success["content"].values()]
        documented = [schema for schema in contents if schema.get("format") != "binary"]
        assert documented, path
        assert all(
            "'examples'" in str(_resolve_references(document, schema)) for schema in documented
        ), path


def _resolve_references(document: dict[str, Any], node: object) -> dict[str, Any]:
    """Replace references by what they name."""
    resolved: dict[str, Any] = _resolve(document, node)
    return resolved


def _resolve(document: dict[str, Any], node: Any) -> Any:  # noqa: ANN401  # any JSON
    if isinstance(node, dict):
        if "$ref" in node:
            return _resolve(document, document["components"]["schemas"][_schema_name(node["$ref"])])
        return {key: _resolve(document, child) for key, child in node.items()}
    return [_resolve(document, child) for child in node] if isinstance(node, list) else node


def _schema_name(reference: str) -> str:
    return reference.removeprefix("#/components/schemas/")


async def test_every_error_is_described_as_a_problem(api: ApiClient) -> None:
    document = await _fetch_document(api)
    expected = {
        "/api/v1/tickers": {"422", "503"},
        "/api/v1/status": {"422"},
        "/api/v1/tasks/fetch-prices": {"401", "403", "422", "503"},
        "/api/v1/tasks/backfill": {"401", "403", "404", "422", "503"},
        "/api/v1/tasks/{task_id}": {"404", "422", "503"},
        "/health/live": set(),
        "/metrics": set(),
        "/api/v1/prices/export": {*PRICES_ERRORS, "429"},
    }
    for _, path, operation in _operations(document):
        errors = {status for status in operation["responses"] if status >= "400"}
        if path.startswith("/udf/"):  # whose errors have status 200
            assert errors == set()
            continue
        if path in {"/health/ready", "/health/collector"}:
            assert errors == {"503"}
            continue
        assert errors == expected.get(path, PRICES_ERRORS), path
        for status in errors:
            content = operation["responses"][status]["content"]
            assert list(content) == ["application/problem+json"]
            name = "ParametersProblemOut" if status == "422" else "ProblemOut"
            assert _schema_name(content["application/problem+json"]["schema"]["$ref"]) == name
    assert "HTTPValidationError" not in document["components"]["schemas"]


async def test_document_is_valid(api: ApiClient) -> None:
    document = await _fetch_document(api)
    assert re.fullmatch(r"3\.1\.\d", document["openapi"])
    assert document["info"]["title"]
    schemas = document["components"]["schemas"]
    assert {_schema_name(reference) for reference in _references(document)} == set(schemas)
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for _, path, operation in _operations(document):
        declared = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
        assert declared == set(re.findall(r"{(\w+)}", path))
        for parameter in operation.get("parameters", []):
            jsonschema.Draft202012Validator.check_schema(parameter["schema"])


async def test_answers_of_tradingviews_protocol_are_those_described(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    document = await _fetch_document(api)
    await store(sql, [60, 120])
    history = "/udf/history?symbol=BTC_USD&resolution=1"
    for path in (
        "/udf/config",
        "/udf/symbols?symbol=BTC_USD",
        "/udf/symbols?symbol=NOPE",
        "/udf/search?query=BTC",
        "/udf/search?limit=0",
        "/udf/time",
        f"{history}&to=180&countback=5",
        f"{history}&to=0&countback=5",
        f"{history}&from=900&to=960",
        history,
    ):
        answer = await api.get(path)
        described = document["paths"][path.partition("?")[0]]["get"]["responses"]["200"]
        schema = described["content"][answer.headers["content-type"]]["schema"]
        whole = {**schema, "components": document["components"]}
        jsonschema.Draft202012Validator(whole).validate(answer.json())


async def test_limits_of_numbers_are_described(api: ApiClient) -> None:
    document = await _fetch_document(api)
    for _, path, operation in _operations(document):
        for parameter in operation.get("parameters", []):
            schemas = parameter["schema"].get("anyOf", [parameter["schema"]])
            for schema in schemas:
                if schema.get("type") == "integer":
                    assert {"minimum", "maximum"} <= set(schema), (path, parameter["name"])
    by_path = document["paths"]["/api/v1/prices/history"]["get"]["parameters"]
    limit = next(parameter["schema"] for parameter in by_path if parameter["name"] == "limit")
    assert (limit["minimum"], limit["maximum"], limit["default"]) == (1, 10_000, 100)


async def test_write_endpoints_ask_for_the_key(api: ApiClient) -> None:
    document = await _fetch_document(api)
    schemes = document["components"]["securitySchemes"]
    assert [(s["type"], s["in"], s["name"]) for s in schemes.values()] == [
        ("apiKey", "header", "X-API-Key")
    ]
    for method, path, operation in _operations(document):
        assert bool(operation.get("security")) == (method == "post"), path


async def test_real_answers_match_what_is_described(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    document = await _fetch_document(api)
    await store(sql, [60, 120])
    started = await api.post("/api/v1/tasks/fetch-prices")
    prices = "/api/v1/prices"
    backfill = "/api/v1/tasks/backfill"
    repairing = await api.post(backfill)
    real = [
        (repairing, "post", backfill),
        (await api.get(repairing.json()["status_url"]), "get", "/api/v1/tasks/{task_id}"),
        (await api.post(f"{backfill}?ticker=nope"), "post", backfill),
        (await api.post(f"{backfill}?from_dt=x"), "post", backfill),
        (await api.post(backfill, key=None), "post", backfill),
        (started, "post", "/api/v1/tasks/fetch-prices"),
        (await api.get(started.json()["status_url"]), "get", "/api/v1/tasks/{task_id}"),
        (await api.get("/api/v1/tasks/0"), "get", "/api/v1/tasks/{task_id}"),
        (await api.get("/api/v1/tasks/x"), "get", "/api/v1/tasks/{task_id}"),
        (
            await api.post("/api/v1/tasks/fetch-prices", key=None),
            "post",
            "/api/v1/tasks/fetch-prices",
        ),
        (
            await api.post("/api/v1/tasks/fetch-prices", key="no"),
            "post",
            "/api/v1/tasks/fetch-prices",
        ),
        (await api.get(f"{prices}?ticker=btc_usd&limit=1"), "get", prices),
        (await api.get(f"{prices}?ticker=nope"), "get", prices),
        (await api.get(f"{prices}?limit=0"), "get", prices),
        (await api.get(f"{prices}/latest?ticker=btc_usd"), "get", f"{prices}/latest"),
        (await api.get(f"{prices}/latest?ticker=eth_usd"), "get", f"{prices}/latest"),
        (
            await api.get(f"{prices}/latest?ticker=btc_usd&ticker=btc_usd"),
            "get",
            f"{prices}/latest",
        ),
        (await api.get("/api/v1/tickers?x=1"), "get", "/api/v1/tickers"),
        (await api.post("/api/v1/tasks/fetch-prices?x=1"), "post", "/api/v1/tasks/fetch-prices"),
        (await api.get(f"{prices}/history?ticker=btc_usd"), "get", f"{prices}/history"),
        (await api.get(f"{prices}/period?ticker=btc_usd"), "get", f"{prices}/period"),
        (await api.get(f"{prices}/filter?ticker=btc_usd"), "get", f"{prices}/filter"),
        (await api.get(f"{prices}/at?ticker=btc_usd&timestamp=90"), "get", f"{prices}/at"),
        *[
            (await api.get(f"{prices}/candles?{query}"), "get", f"{prices}/candles")
            for query in (
                "ticker=btc_usd&interval=1m&limit=1",
                "ticker=btc_usd&interval=1h&fill=null",
                "ticker=nope&interval=1h",
                "ticker=btc_usd",
            )
        ],
        (await api.get("/api/v1/tickers"), "get", "/api/v1/tickers"),
        (await api.get("/api/v1/coverage?ticker=btc_usd"), "get", "/api/v1/coverage"),
        (await api.get("/api/v1/coverage?ticker=btc_usd&by=day"), "get", "/api/v1/coverage"),
        (await api.get("/api/v1/status"), "get", "/api/v1/status"),
        (await api.get("/api/v1/status?x=1"), "get", "/api/v1/status"),
        (await api.get(f"{prices}/export?ticker=nope"), "get", f"{prices}/export"),
        (await api.get(f"{prices}/export?format=x"), "get", f"{prices}/export"),
        (await api.get("/api/v1/coverage?ticker=nope"), "get", "/api/v1/coverage"),
        (await api.get("/health/live"), "get", "/health/live"),
        (await api.get("/health/ready"), "get", "/health/ready"),
        (await api.get("/health/collector"), "get", "/health/collector"),
    ]
    await sql.execute("DROP TABLE prices, price_hours")
    real.append((await api.get("/api/v1/tickers"), "get", "/api/v1/tickers"))
    for answer, method, path in real:
        _assert_described(document, answer, document["paths"][path][method])


def _assert_described(document: dict[str, Any], answer: Answer, operation: dict[str, Any]) -> None:
    response = operation["responses"][str(answer.status)]
    schema = response["content"][answer.headers["content-type"]]["schema"]
    whole = {**schema, "components": document["components"]}
    jsonschema.Draft202012Validator(whole).validate(answer.json())
    resolved = _resolve_references(document, schema)
    shapes = [set(shape["properties"]) for shape in resolved.get("anyOf", [resolved])]
    assert set(answer.json()) in shapes
    for header in response.get("headers", {}):
        assert header.lower() in answer.headers or answer.json().get("next", "") is None
