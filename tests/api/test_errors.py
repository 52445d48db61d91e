"""Errors as answers: each a problem, none that tells of the inside."""

import re

import asyncpg
import pytest

from app.core import errors
from app.core.errors import AppError
from tests.api.client import Answer, ApiClient
from tests.repositories.rows import store

INTERNAL_DETAILS = re.compile(
    rb"SELECT|INSERT|sqlalchemy|asyncpg|Traceback|\.py|/work|/app|/usr|site-packages|"
    rb"postgres(ql)?:|redis:|right-key|line \d+",
    re.IGNORECASE,
)
READS = [
    "/api/v1/prices?ticker=btc_usd",
    "/api/v1/prices/latest?ticker=btc_usd",
    "/api/v1/prices/history?ticker=btc_usd",
    "/api/v1/prices/period?ticker=btc_usd",
    "/api/v1/prices/at?ticker=btc_usd&timestamp=100",
    "/api/v1/tickers",
]


async def test_unknown_route_is_a_problem(api: ApiClient) -> None:
    for path in ("/nope", "/api", "/api/v1", "/api/v1/price", "/health", "/%00", "/%FF"):
        answer = await api.get(path)
        assert (answer.status, answer.code) == (404, "route_not_found"), path


async def test_wrong_method_is_a_problem_that_names_the_right_one(api: ApiClient) -> None:
    for method, path, allowed in (
        ("POST", "/api/v1/prices", "GET"),
        ("DELETE", "/api/v1/prices/latest?ticker=btc_usd", "GET"),
        ("PUT", "/api/v1/tickers", "GET"),
        ("PATCH", "/api/v1/tasks/fetch-prices", "POST"),
        ("POST", "/health/live", "GET"),
    ):
        answer = await api.send(method, path)
        assert (answer.status, answer.code) == (405, "method_not_allowed"), path
        assert allowed in answer.headers["allow"]


async def test_body_that_nobody_asked_for_does_no_harm(api: ApiClient) -> None:
    for body in (b"{", b'{"price": -5}', b"\xff\x00", b"[" * 10_000, b"x" * 1_000_000):
        assert (await api.post("/api/v1/tasks/fetch-prices", body=body)).status == 202


async def test_prices_can_not_be_written(api: ApiClient, sql: asyncpg.Connection) -> None:
    """Elsewhere anyone could write DOGE at -5."""
    body = b'{"ticker": "doge_usd", "price": -5, "timestamp": 60}'
    for path in ("/api/v1/prices", "/api/v1/prices/latest", "/api/v1/tickers"):
        assert (await api.post(path, body=body)).status == 405
    assert await sql.fetchval("SELECT count(*) FROM prices") == 0


async def test_absurd_values_are_never_a_server_error(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    """Elsewhere `offset=1e20`, values beyond int64 and empty tables were a 500, with SQL in it."""
    await store(sql, [60])
    absurd = ["1e20", "1" * 19, "1" * 400, "-1", "NaN", "inf", "%00", "%27", "%F0%9F%92%A9", "null"]
    names = ["ticker", "exchange", "limit", "cursor", "order", "from_dt", "to_dt", "timestamp"]
    for text in absurd:
        for path in READS:
            query = "&".join(f"{name}={text}" for name in [*names, "max_age_seconds", "offset"])
            _assert_client_error(await api.get(f"{path.partition('?')[0]}?{query}"), path)
        _assert_client_error(await api.get(f"/api/v1/prices?ticker=btc_usd&offset={text}"), text)


def _assert_client_error(answer: Answer, what: str) -> None:
    assert answer.status < 500, what
    assert not INTERNAL_DETAILS.search(answer.body), answer.body


async def test_bytes_that_are_no_text_are_never_a_server_error(api: ApiClient) -> None:
    for target in (
        b"/prices?ticker=\xff",
        b"/prices/\xff\xfe",
        b"/api/v1/prices/?t=\xff",
        b"/\xe4",
    ):
        status = await api.status_of_raw_request(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        assert 300 <= status < 500, target
    key = b"POST /api/v1/tasks/fetch-prices HTTP/1.1\r\nHost: a\r\nX-API-Key: \xff\x80\r\n\r\n"
    assert await api.status_of_raw_request(key) == 403


async def test_missing_table_is_an_outdated_schema(api: ApiClient, sql: asyncpg.Connection) -> None:
    await sql.execute("DROP TABLE prices, price_hours")
    for path in READS:
        answer = await api.get(path)
        assert (answer.status, answer.code) == (503, "schema_outdated"), path
        assert not INTERNAL_DETAILS.search(answer.body)
        assert "alembic upgrade head" in answer.json()["detail"]


async def test_missing_column_is_an_outdated_schema(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    await sql.execute("ALTER TABLE prices DROP COLUMN source")
    answer = await api.get(READS[0])
    assert (answer.status, answer.code) == (503, "schema_outdated")


async def test_defect_is_a_500_that_says_nothing(
    api: ApiClient, sql: asyncpg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    await sql.execute(
        "ALTER TABLE prices DROP CONSTRAINT prices_timestamp_in_range, "
        "ALTER COLUMN timestamp TYPE text USING timestamp::text"
    )
    for path in (
        "/prices/period?ticker=btc_usd&from_dt=5",
        "/prices/at?ticker=btc_usd&timestamp=5",
    ):
        answer = await api.get(f"/api/v1{path}")
        assert (answer.status, answer.code) == (500, "internal_error")
        assert not INTERNAL_DETAILS.search(answer.body), answer.body
    assert "request_broke" in caplog.text
    assert (await api.get("/health/live")).status == 200


def _all_subclasses(kind: type[AppError]) -> list[type[AppError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in _all_subclasses(child))]


def test_every_error_has_a_code_and_a_status_of_its_own() -> None:
    kinds = _all_subclasses(AppError)
    codes = [kind.code for kind in kinds]
    assert len(set(codes)) == len(codes)
    for kind in kinds:
        assert 400 <= kind.status < 600
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)
        assert kind.title[0].isupper()
        assert not kind.title.endswith(".")
        assert kind.__name__ in str(errors.__doc__)
