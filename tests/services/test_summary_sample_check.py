"""The hourly check of summaries: what is wrong is found in time, and told until it is right."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from structlog.testing import capture_logs

from app.core.settings import Settings
from app.domain.prices import TickerKey
from app.postgres.database import Database
from app.redis.alert_lease import STATE_KEY
from app.redis.process_reports import read_process_reports
from app.runtime import alert_lifespan, open_runtime
from app.services import summary_sample_check
from app.services.alerts import service as alert_service
from app.services.summary_sample_check import CHUNK_SECONDS, SummarySampleCheck
from app.services.summary_verification import SummaryVerifier
from tests.repositories.rows import store
from tests.waiting import until
from tests.webhook_receiver import WebhookReceiver, running_webhook_receiver

WEEK = CHUNK_SECONDS
DAMAGE = "UPDATE price_hours SET samples = samples + 1 WHERE ticker = 'btc_usd' AND hour = $1"
MAX_RUNS = 400


@pytest.fixture
async def check(database: Database, redis: Redis) -> SummarySampleCheck:
    return SummarySampleCheck(database, redis)


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with running_webhook_receiver() as taken:
        yield taken


async def _rebuild(database: Database) -> None:
    async for _ in SummaryVerifier(database).verify(rebuild=True):
        pass


async def test_newest_hours_are_checked_each_time(
    check: SummarySampleCheck, database: Database, sql: asyncpg.Connection
) -> None:
    await store(sql, range(0, 20 * WEEK, WEEK // 2))
    await store(sql, [0], ticker="eth_usd")
    assert await check.check_and_count_wrong_hours() == 0
    await sql.execute(DAMAGE, 20 * WEEK - WEEK // 2)
    with capture_logs() as lines:
        assert await check.check_and_count_wrong_hours() == 1
    expected = {"ticker": "deribit:btc_usd", "start": 19 * WEEK, "end": 20 * WEEK, "hours": 1}
    assert [line for line in lines if line["event"] == "summaries_wrong"] == [
        {"event": "summaries_wrong", "log_level": "error", **expected}
    ]
    await _rebuild(database)
    assert await check.check_and_count_wrong_hours() == 0


@pytest.mark.parametrize(
    "damage",
    [
        DAMAGE,
        "DELETE FROM price_hours WHERE hour = $1",
        "UPDATE price_hours SET hour = hour + 7200 WHERE hour = $1",
    ],
)
async def test_older_hours_are_all_checked_in_time_and_then_until_they_are_right(
    check: SummarySampleCheck, database: Database, sql: asyncpg.Connection, damage: str
) -> None:
    await store(sql, range(0, 10 * WEEK, WEEK))
    await sql.execute(damage, 3 * WEEK)
    runs = 0
    while not (found := await check.check_and_count_wrong_hours()):
        runs += 1
        assert runs < MAX_RUNS
    assert [await check.check_and_count_wrong_hours() for _ in range(5)] == [found] * 5
    await _rebuild(database)
    assert await check.check_and_count_wrong_hours() == 0


async def test_ticker_that_was_wrong_and_is_no_more_is_right(
    check: SummarySampleCheck, sql: asyncpg.Connection
) -> None:
    await store(sql, [0], ticker="btc/usd:x")
    await sql.execute("UPDATE price_hours SET samples = 2")
    assert await check.check_and_count_wrong_hours() == 1
    await sql.execute("DELETE FROM prices")
    assert await check.check_and_count_wrong_hours() == 0


async def test_many_tickers_take_turns_within_the_time(
    check: SummarySampleCheck, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summary_sample_check, "BUDGET_SECONDS", 0.0)
    for ticker in ("btc_usd", "eth_usd", "sol_usd"):
        await store(sql, [0], ticker=ticker)
    await sql.execute("UPDATE price_hours SET samples = 2")
    assert await check.check_and_count_wrong_hours() == 1
    runs = 0
    while await check.check_and_count_wrong_hours() < 3:
        runs += 1
        assert runs < MAX_RUNS


async def test_known_wrong_hours_are_checked_before_all_others_and_within_the_time(
    check: SummarySampleCheck,
    database: Database,
    sql: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(5):
        await store(sql, [0, WEEK, 2 * WEEK], ticker=f"other_{number}")
    await store(sql, [0, WEEK, 2 * WEEK])
    await sql.execute("UPDATE price_hours SET samples = 2 WHERE ticker = 'btc_usd'")
    for _ in range(MAX_RUNS):
        if await check.check_and_count_wrong_hours() == 3:
            break
    monkeypatch.setattr(summary_sample_check, "BUDGET_SECONDS", 0.0)
    await _rebuild(database)
    assert await check.check_and_count_wrong_hours() in {
        0,
        1,
        2,
    }  # one of them was looked at, or all by chance
    await check.check_and_count_wrong_hours()
    await check.check_and_count_wrong_hours()
    assert await check.check_and_count_wrong_hours() == 0


async def test_forgotten_ticker_is_known_as_right_once_and_then_not_at_all(
    check: SummarySampleCheck, sql: asyncpg.Connection, redis: Redis
) -> None:
    await store(sql, [0])
    await sql.execute("UPDATE price_hours SET samples = 2")
    await check.check_and_count_wrong_hours()
    await sql.execute("DELETE FROM prices")
    assert await check.check_and_count_wrong_hours() == 0
    assert (await read_process_reports(redis)).checked_hours == {"deribit:btc_usd": {0: 0}}
    await check.check_and_count_wrong_hours()
    assert (await read_process_reports(redis)).checked_hours == {}


async def test_lost_findings_make_nothing_right_before_it_was_checked_again(
    settings: Settings,
    sql: asyncpg.Connection,
    redis: Redis,
    receiver: WebhookReceiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alert_service, "CHECK_PAUSE_SECONDS", 0.05)
    alert_settings = settings.model_copy(update={"alert_webhook_url": SecretStr(receiver.url)})
    await store(sql, range(0, 40 * WEEK, WEEK))
    await sql.execute(DAMAGE, 39 * WEEK)
    async with open_runtime(alert_settings) as runtime, alert_lifespan(runtime):
        await runtime.summary_check.check_and_count_wrong_hours()
        await until(lambda: receiver.has_received(1))
        await store(sql, [40 * WEEK])  # so that the wrong week is the newest no more
        await redis.flushall()
        await until(lambda: redis.exists(STATE_KEY))
        for _ in range(2):
            assert await runtime.summary_check.check_and_count_wrong_hours() == 1
        assert (await read_process_reports(redis)).checked_hours["deribit:btc_usd"][39 * WEEK] == 1
        await _rebuild(runtime.database)
        await runtime.summary_check.check_and_count_wrong_hours()
        await until(lambda: receiver.has_received(2))
    assert [body["event"] for body in receiver.bodies] == ["summaries_wrong", "summaries_right"]


async def test_endpoint_is_told_once_when_summaries_are_wrong_and_once_when_right(
    settings: Settings,
    sql: asyncpg.Connection,
    receiver: WebhookReceiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alert_service, "CHECK_PAUSE_SECONDS", 0.05)
    alert_settings = settings.model_copy(update={"alert_webhook_url": SecretStr(receiver.url)})
    await store(sql, [0])
    async with open_runtime(alert_settings) as runtime, alert_lifespan(runtime):
        await sql.execute("UPDATE price_hours SET samples = 2")
        for _ in range(2):
            await runtime.summary_check.check_and_count_wrong_hours()
        await until(lambda: receiver.has_received(1))
        await _rebuild(runtime.database)
        for _ in range(2):
            await runtime.summary_check.check_and_count_wrong_hours()
        await until(lambda: receiver.has_received(2))
    key = TickerKey("deribit", "btc_usd")
    wrong, right = receiver.bodies
    assert wrong == {
        "event": "summaries_wrong",
        **key._asdict(),
        "age_seconds": None,
        "reason": "1 hourly summaries differ from their rows",
        "at": pytest.approx(runtime.now(), abs=60),
        "text": "deribit:btc_usd: 1 hourly summaries differ from their rows: "
        "`python -m app verify --rebuild` mends them",
    }
    assert (right["event"], right["reason"]) == ("summaries_right", wrong["reason"])
