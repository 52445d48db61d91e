"""Whether the service works."""

import asyncio
import re

import asyncpg
from pydantic import SecretStr
from redis.asyncio import Redis

from app.core.settings import Settings
from app.redis.process_reports import Heartbeat, Role
from app.runtime import open_runtime
from app.simulator import Exchange
from tests.api.client import ApiClient, running_api
from tests.conftest import set_phase
from tests.repositories.rows import store

_INSERT_LIVE = """
INSERT INTO prices (exchange, ticker, timestamp, price, observed_us, source, created_at)
VALUES ('deribit', $1, $2::bigint, 1, $2::bigint * 1000000, 'live', to_timestamp($2::bigint))
"""


_REFUSE_WRITES = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON prices EXECUTE FUNCTION refuse();
"""
MAX_PAUSE_SECONDS = 1.5
"""Half of what the health checks may take."""


async def _database_time(sql: asyncpg.Connection) -> int:
    return int(await sql.fetchval("SELECT extract(epoch FROM clock_timestamp())::bigint"))


async def test_live_looks_at_nothing(api: ApiClient) -> None:
    answer = await api.get("/health/live")
    assert (answer.status, answer.json()) == (200, {"status": "ok", "checks": {}})


async def test_ready_looks_at_database_and_broker(api: ApiClient) -> None:
    answer = await api.get("/health/ready")
    ok = {"status": "ok", "detail": "answers"}
    assert (answer.status, answer.json()) == (
        200,
        {"status": "ok", "checks": {"database": ok, "broker": ok}},
    )


async def test_older_schema_is_not_ready(api: ApiClient, sql: asyncpg.Connection) -> None:
    await sql.execute("DELETE FROM alembic_version")
    answer = await api.get("/health/ready")
    database = answer.json()["checks"]["database"]
    assert (answer.status, answer.json()["status"], database["status"]) == (
        503,
        "failing",
        "failing",
    )
    assert "alembic upgrade head" in database["detail"]


async def test_collector_is_healthy_while_every_ticker_is_fresh(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    now = await _database_time(sql)
    for ticker in ("btc_usd", "eth_usd"):
        await sql.execute(_INSERT_LIVE, ticker, now - 30)
    answer = await api.get("/health/collector")
    assert (answer.status, answer.json()["status"]) == (200, "ok")
    details = {name: check["detail"] for name, check in answer.json()["checks"].items()}
    assert details.keys() == {"deribit:btc_usd", "deribit:eth_usd", "beat", "worker", "clock"}
    assert (details["beat"], details["worker"]) == ("none has reported", "none has reported")
    assert re.fullmatch(
        r"the database's clock is [\d.]+ s (ahead of|behind) deribit's,"
        r" this server's [\d.]+ s (ahead of|behind) it",
        details["clock"],
    )


async def test_one_stale_ticker_fails_the_collector(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    """Users asked for an alarm when a feed is stale while its process lives."""
    now = await _database_time(sql)
    await sql.execute(_INSERT_LIVE, "btc_usd", now - 30)
    await sql.execute(_INSERT_LIVE, "eth_usd", now - 200)
    answer = await api.get("/health/collector")
    statuses = {name: check["status"] for name, check in answer.json()["checks"].items()}
    assert (answer.status, statuses) == (
        503,
        {
            "deribit:btc_usd": "ok",
            "deribit:eth_usd": "failing",
            "beat": "failing",
            "worker": "failing",
            "clock": "ok",
        },
    )
    detail = answer.json()["checks"]["deribit:eth_usd"]["detail"]
    assert re.fullmatch(r"the newest slot is (199|20\d) s old: no beat has reported", detail)


async def test_backfilled_rows_do_not_make_a_collector_fresh(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    await store(sql, [await _database_time(sql)], source="backfill")
    answer = await api.get("/health/collector")
    check = answer.json()["checks"]["deribit:btc_usd"]
    assert (answer.status, check["detail"]) == (
        503,
        "no live price is stored yet: no beat has reported",
    )


async def test_locked_table_does_not_block_the_loop(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    """Elsewhere a health route blocked the event loop."""
    async with sql.transaction():
        await sql.execute("LOCK TABLE prices, alembic_version")
        slow = [asyncio.create_task(api.get(f"/health/{name}")) for name in ("ready", "collector")]
        assert (await api.get("/health/live")).status == 200
        assert not any(task.done() for task in slow)
        answers = [await task for task in slow]
    assert [answer.status for answer in answers] == [503, 503]
    for answer in answers:  # whichever of the two ends first
        assert re.search("no answer in time|lock timeout", str(answer.body))


async def test_why_the_exchange_gives_no_price_is_said(
    api: ApiClient, settings: Settings, exchange: Exchange
) -> None:
    send_heartbeats(settings)
    exchange.add_fault("error", code=11051, index="btc_usd")
    fast_settings = settings.model_copy(update={"collect_interval_seconds": 1})
    async with open_runtime(fast_settings) as runtime:
        assert (await runtime.collector.collect()).failed
    checks = (await api.get("/health/collector")).json()["checks"]
    assert re.fullmatch(
        r"no live price is stored yet: exchange_maintenance \(.*11051.*\) since \d+ s",
        checks["deribit:btc_usd"]["detail"],
    )
    assert (checks["beat"]["status"], checks["worker"]["status"]) == ("ok", "ok")
    assert checks["worker"]["detail"] == "1 at work"


async def test_full_disk_is_told_although_reads_work(
    api: ApiClient, settings: Settings, sql: asyncpg.Connection, exchange: Exchange
) -> None:
    send_heartbeats(settings)
    set_phase(exchange, 0.1, interval=2)
    await sql.execute(_REFUSE_WRITES)
    fast_settings = settings.model_copy(update={"collect_interval_seconds": 2})
    async with open_runtime(fast_settings) as runtime:
        result = await runtime.collector.collect()
    assert set(result.failed.values()) == {"database_full"}
    checks = (await api.get("/health/collector")).json()["checks"]
    assert checks["deribit:eth_usd"]["detail"] == (
        "no live price is stored yet: the database refuses writes: disk full"
    )
    assert "database" not in checks


async def test_broker_that_is_away_is_a_check_of_its_own(
    settings: Settings, sql: asyncpg.Connection
) -> None:
    await sql.execute(_INSERT_LIVE, "btc_usd", await _database_time(sql) - 200)
    settings_without_redis = settings.model_copy(
        update={"redis_url": SecretStr("redis://127.0.0.1:1/0")}
    )
    async with running_api(settings_without_redis) as api:
        checks = (await api.get("/health/collector")).json()["checks"]
    assert "Redis does not answer" in checks["broker"]["detail"]
    assert checks["deribit:btc_usd"]["detail"].endswith(" s old: the broker is away")
    assert "beat" not in checks


async def test_clock_that_nears_the_hour_of_refusal_fails(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    now = await _database_time(sql)
    for ticker in ("btc_usd", "eth_usd"):
        await sql.execute(_INSERT_LIVE, ticker, now - 30)
    await sql.execute("UPDATE prices SET observed_us = observed_us + 3400::bigint * 1000000")
    check = (await api.get("/health/collector")).json()["checks"]["clock"]
    assert check["status"] == "failing"
    assert check["detail"].startswith("the database's clock is 3400.0 s behind deribit's")


async def test_silent_worker_is_named_beside_one_that_works(
    api: ApiClient, settings: Settings, redis: Redis
) -> None:
    send_heartbeats(settings)
    seconds, _ = await redis.time()
    await redis.zadd("prices:signs:worker", {"celery@gone": (seconds - 100) * 1000})
    check = (await api.get("/health/collector")).json()["checks"]["worker"]
    assert check["status"] == "ok"
    assert check["detail"].startswith("1 at work; celery@gone has been silent for 10")


def send_heartbeats(settings: Settings) -> None:
    """Send the heartbeats of a beat and of a worker."""
    assert settings.redis_url is not None
    for role in Role:
        Heartbeat(settings.redis_url.get_secret_value(), role, f"a {role}").beat()


async def test_loop_goes_on_while_health_waits_for_the_database(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    """Elsewhere a health route blocked the event loop; server and test share one here."""
    clock, longest = asyncio.get_running_loop().time, 0.0
    async with sql.transaction():
        await sql.execute("LOCK TABLE alembic_version")
        request = asyncio.create_task(api.get("/health/ready"))
        while not request.done():
            began = clock()
            await asyncio.sleep(0.01)
            longest = max(longest, clock() - began)
    assert (await request).status == 503
    assert longest < MAX_PAUSE_SECONDS
