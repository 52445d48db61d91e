"""The status over HTTP: what the health of the collector knows, as data."""

import asyncio
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from app import __version__
from app.core.errors import DatabaseBlocked
from app.core.settings import Settings
from app.domain.prices import TickerKey
from app.redis.process_reports import TickReports
from app.runtime import Runtime, open_runtime
from app.simulator import Exchange
from tests.api.client import ApiClient, running_api
from tests.api.test_health import send_heartbeats

STATUS = "/api/v1/status"


async def _read(api: ApiClient) -> dict[str, Any]:
    answer = await api.get(STATUS)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    body: dict[str, Any] = answer.json()
    return body


async def test_status_after_a_tick(
    settings: Settings, runtime: Runtime, exchange: Exchange
) -> None:
    exchange.set_delay(50)
    await runtime.collector.collect()
    send_heartbeats(settings)
    async with running_api(settings) as api:
        before = int(runtime.now())
        status = await _read(api)
        health = (await api.get("/health/collector")).json()
    assert before <= status.pop("timestamp") <= runtime.now()
    assert (status["version"], status["interval_seconds"]) == (__version__, 60)
    assert status["status"] == health["status"] == "ok"
    for ticker, name in zip(status["tickers"], ("btc_usd", "eth_usd"), strict=True):
        assert (ticker["exchange"], ticker["ticker"]) == ("deribit", name)
        assert (ticker["stale"], ticker["reason"], ticker["reason_text"]) == (False, None, None)
        assert ticker["detail"].startswith(f"the newest slot is {ticker['age_seconds']} s old")
        assert ticker["next_slot"] == ticker["last_slot"] + 60
        assert (ticker["repaired_last_day"], ticker["missing_last_day"]) == (0, 0)
    (answer,) = status["exchanges"]
    assert answer["exchange"] == "deribit"
    assert 50 <= answer["answer_milliseconds"] < 10_000
    assert [(beat["name"], beat["silent"]) for beat in status["beats"]] == [("a beat", False)]
    assert [worker["name"] for worker in status["workers"]] == ["a worker"]
    assert 0 <= status["workers"][0]["seconds_since_heard"] < 30
    for server, name in zip(status["servers"], ("database", "broker"), strict=True):
        assert (server["name"], server["status"], server["detail"]) == (name, "ok", "answers")
        assert server["answer_milliseconds"] > 0
    (clocks,) = status["clocks"]
    assert clocks["exchange"] == "deribit"
    assert abs(clocks["database_seconds"]) < 100


async def test_nothing_stored_yet_is_failing_and_unknown(api: ApiClient) -> None:
    status = await _read(api)
    detail = (await api.get("/health/collector")).json()["checks"]["deribit:btc_usd"]["detail"]
    assert status["status"] == "failing"
    assert status["tickers"][0] == {
        "exchange": "deribit",
        "ticker": "btc_usd",
        "age_seconds": None,
        "stale": True,
        "reason": "beat_silent",
        "reason_text": "no beat has reported",
        "detail": detail,
        "last_slot": None,
        "next_slot": None,
        "repaired_last_day": 0,
        "missing_last_day": 0,
    }
    assert status["exchanges"] == [{"exchange": "deribit", "answer_milliseconds": None}]
    assert (status["beats"], status["workers"], status["clocks"]) == ([], [], [])


async def test_silent_exchange_is_the_reason_and_has_no_answer_time(
    settings: Settings, exchange: Exchange, redis: Redis
) -> None:
    send_heartbeats(settings)
    await redis.hset("prices:answers", "deribit", 12)
    exchange.add_fault("error", code=11051)
    fast_settings = settings.model_copy(update={"collect_interval_seconds": 1})
    async with open_runtime(fast_settings) as runtime:
        assert (await runtime.collector.collect()).failed
    async with running_api(settings) as api:
        status = await _read(api)
    reasons = {(ticker["reason"], ticker["reason_text"]) for ticker in status["tickers"]}
    assert reasons == {("exchange_maintenance", "the exchange is in maintenance")}
    assert status["exchanges"] == [{"exchange": "deribit", "answer_milliseconds": None}]


async def test_blocked_write_is_the_reason_in_words(
    api: ApiClient, settings: Settings, redis: Redis
) -> None:
    send_heartbeats(settings)
    error = DatabaseBlocked("a write of prices is not finished")
    await TickReports(redis, 60).record_failures({TickerKey("deribit", "btc_usd"): error})
    ticker = (await _read(api))["tickers"][0]
    assert ticker["reason"] == "database_blocked"
    assert ticker["reason_text"] == "the database keeps a write waiting"


async def test_broker_that_is_away_is_data(settings: Settings) -> None:
    without_redis = settings.model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:1/0")})
    async with running_api(without_redis) as api:
        status = await _read(api)
    database, broker = status["servers"]
    assert (database["status"], broker["status"]) == ("ok", "failing")
    assert "Redis does not answer" in broker["detail"]
    assert broker["answer_milliseconds"] is None
    assert (status["beats"], status["workers"]) == (None, None)
    assert {ticker["reason"] for ticker in status["tickers"]} == {"broker_unavailable"}


async def test_database_that_is_away_is_data(
    api: ApiClient, sql: asyncpg.Connection, settings: Settings
) -> None:
    send_heartbeats(settings)
    async with sql.transaction():
        await sql.execute("LOCK TABLE prices, price_hours")
        status = await _read(api)
    database, broker = status["servers"]
    assert (database["status"], broker["status"]) == ("failing", "ok")
    assert database["answer_milliseconds"] is None
    for ticker in status["tickers"]:
        assert (ticker["stale"], ticker["reason"]) == (True, "database_unavailable")
        unknown = ("age_seconds", "last_slot", "next_slot", "repaired_last_day", "missing_last_day")
        assert {ticker[name] for name in unknown} == {None}
    assert [beat["name"] for beat in status["beats"]] == ["a beat"]


async def test_missing_table_is_data(api: ApiClient, sql: asyncpg.Connection) -> None:
    await sql.execute("DROP TABLE recordings")
    status = await _read(api)
    assert {ticker["missing_last_day"] for ticker in status["tickers"]} == {None}


async def test_many_pages_share_a_read(api: ApiClient) -> None:
    answers = await asyncio.gather(*(api.get(STATUS) for _ in range(30)))
    assert {answer.status for answer in answers} == {200}
    bodies = {answer.body for answer in answers}
    assert len(bodies) <= 3


@pytest.mark.parametrize("query", ["ticker=btc_usd", "x=1"])
async def test_unknown_parameters_are_refused(api: ApiClient, query: str) -> None:
    answer = await api.get(f"{STATUS}?{query}")
    assert set(answer.errors_by_parameter) == {query.partition("=")[0]}
