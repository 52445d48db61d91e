"""Whether the service works."""

import asyncio

import asyncpg

from tests.api.client import Api
from tests.repositories.rows import store

_LIVE = """
INSERT INTO prices (exchange, ticker, timestamp, price, observed_us, source, created_at)
VALUES ('deribit', $1, $2::bigint, 1, $2::bigint * 1000000, 'live', to_timestamp($2::bigint))
"""


async def _now(sql: asyncpg.Connection) -> int:
    return int(await sql.fetchval("SELECT extract(epoch FROM clock_timestamp())::bigint"))


async def test_live_looks_at_nothing(api: Api) -> None:
    answer = await api.get("/health/live")
    assert (answer.status, answer.json()) == (200, {"status": "ok", "checks": {}})


async def test_ready_looks_at_database_and_broker(api: Api) -> None:
    answer = await api.get("/health/ready")
    ok = {"status": "ok", "detail": "answers"}
    assert (answer.status, answer.json()) == (
        200,
        {"status": "ok", "checks": {"database": ok, "broker": ok}},
    )


async def test_older_schema_is_not_ready(api: Api, sql: asyncpg.Connection) -> None:
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
    api: Api, sql: asyncpg.Connection
) -> None:
    now = await _now(sql)
    for ticker in ("btc_usd", "eth_usd"):
        await sql.execute(_LIVE, ticker, now - 30)
    answer = await api.get("/health/collector")
    assert (answer.status, answer.json()["status"]) == (200, "ok")
    assert set(answer.json()["checks"]) == {"deribit:btc_usd", "deribit:eth_usd"}


async def test_one_stale_ticker_fails_the_collector(api: Api, sql: asyncpg.Connection) -> None:
    """Users asked for an alarm when a feed is stale while its process lives."""
    now = await _now(sql)
    await sql.execute(_LIVE, "btc_usd", now - 30)
    await sql.execute(_LIVE, "eth_usd", now - 200)
    answer = await api.get("/health/collector")
    statuses = {name: check["status"] for name, check in answer.json()["checks"].items()}
    assert (answer.status, statuses) == (
        503,
        {"deribit:btc_usd": "ok", "deribit:eth_usd": "failing"},
    )


async def test_backfilled_rows_do_not_make_a_collector_fresh(
    api: Api, sql: asyncpg.Connection
) -> None:
    await store(sql, [await _now(sql)], source="backfill")
    answer = await api.get("/health/collector")
    check = answer.json()["checks"]["deribit:btc_usd"]
    assert (answer.status, check["detail"]) == (503, "no live price is stored yet")


async def test_locked_table_does_not_block_the_loop(api: Api, sql: asyncpg.Connection) -> None:
    """Elsewhere a health route blocked the event loop."""
    async with sql.transaction():
        await sql.execute("LOCK TABLE prices, alembic_version")
        slow = [asyncio.create_task(api.get(f"/health/{name}")) for name in ("ready", "collector")]
        assert (await api.get("/health/live")).status == 200
        assert not any(task.done() for task in slow)
        answers = [await task for task in slow]
    assert [answer.status for answer in answers] == [503, 503]
    assert all("no answer in time" in str(answer.body) for answer in answers)
