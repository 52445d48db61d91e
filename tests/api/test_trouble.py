"""A database that is there and does not do what it is asked: 503 with words, and no end of it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress

import asyncpg
import pytest
from pydantic import SecretStr

from app.core.settings import Settings
from tests.api.client import ApiClient, running_api
from tests.conftest import Servers
from tests.repositories.rows import store
from tests.services.price_gaps import current_slot
from tests.waiting import until
from tests.webhook_receiver import running_webhook_receiver

LATEST = "/api/v1/prices/latest?ticker=btc_usd"
BLOCKED = [
    LATEST,
    "/api/v1/prices?ticker=btc_usd",
    "/api/v1/prices/candles?ticker=btc_usd&interval=1h",
    "/api/v1/prices/candles?ticker=btc_usd&interval=1m",
    "/api/v1/coverage?ticker=btc_usd",
    "/health/collector",
]
READS = [*BLOCKED, "/api/v1/tickers", "/metrics"]
INTERVAL = 2
_SOMEBODY_WAITS_FOR_A_LOCK = """
SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()
"""
_LOCK = "LOCK TABLE prices IN ACCESS EXCLUSIVE MODE"
_CANCEL = """
SELECT pg_cancel_backend(pid), pg_terminate_backend(CASE WHEN random() < 0.3 THEN pid END)
FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_INSERT_PRICE = """
INSERT INTO prices (exchange, ticker, timestamp, price, observed_us, source)
SELECT 'deribit', 'btc_usd', now / 2 * 2 + $1, 1, now * 1000000, 'live'
FROM (SELECT extract(epoch FROM clock_timestamp())::bigint AS now) AS clock
"""


@pytest.fixture
async def lock_connection(
    servers: Servers, database_name: str
) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the test's own that holds locks."""
    connection = await asyncpg.connect(servers.plain_url(database_name))
    yield connection
    await connection.close()


@pytest.fixture
async def short_timeout_settings(
    settings: Settings, database_name: str, sql: asyncpg.Connection
) -> AsyncIterator[Settings]:
    """Settings of a database whose sessions have a statement timeout."""
    await sql.execute(f"ALTER DATABASE {database_name} SET statement_timeout = '500ms'")
    changed = {"collect_interval_seconds": INTERVAL, "tickers": "btc_usd"}
    yield Settings.model_validate({**settings.model_dump(), **changed})
    await sql.execute(f"ALTER DATABASE {database_name} RESET ALL")


async def test_statement_timeout_is_a_503_with_words_and_never_a_500(
    short_timeout_settings: Settings, sql: asyncpg.Connection, lock_connection: asyncpg.Connection
) -> None:
    await store(sql, range(current_slot() - 600, current_slot(), 60))
    async with running_api(short_timeout_settings) as api:
        async with lock_connection.transaction():
            await lock_connection.execute(_LOCK)
            await until(lambda: _all_unavailable(api))  # what is remembered is trusted for a second
            for path in BLOCKED:
                answer = await api.get(path)
                assert answer.status == 503, path
                assert b"statement timeout" in answer.body, path
            checks = (await api.get("/health/collector")).json()["checks"]
            ticker = checks["deribit:btc_usd"]["detail"]
            assert ticker.endswith("is unknown: the database ends what it is asked")
        answers = [await api.get(path) for path in BLOCKED[:-1]]
        assert {answer.status for answer in answers} == {200}


async def test_read_of_a_locked_table_is_a_503_that_says_so(
    settings: Settings, lock_connection: asyncpg.Connection
) -> None:
    async with running_api(settings) as api, lock_connection.transaction():
        await lock_connection.execute(_LOCK)
        *answers, health = await asyncio.gather(*map(api.get, BLOCKED))
        for answer in answers:
            assert (answer.status, answer.code) == (503, "database_unavailable")
            assert b"lock timeout" in answer.body
        assert health.status == 503
        assert b"is unknown: the database " in health.body


async def test_ticker_that_goes_stale_while_statements_time_out_is_alerted(
    short_timeout_settings: Settings, sql: asyncpg.Connection, lock_connection: asyncpg.Connection
) -> None:
    async with running_webhook_receiver() as receiver:
        alert_settings = short_timeout_settings.model_copy(
            update={"alert_webhook_url": SecretStr(receiver.url)}
        )
        async with running_api(alert_settings) as api:
            await sql.execute(_INSERT_PRICE, 0)
            await until(lambda: _is_ok(api))
            async with lock_connection.transaction():
                await lock_connection.execute(_LOCK)
                await until(lambda: receiver.has_received(1))
    assert receiver.events[0] == ("ticker_stale", "btc_usd")


@pytest.mark.accept
async def test_truncation_that_is_taken_back_beside_reads_makes_no_500(
    settings: Settings, sql: asyncpg.Connection, lock_connection: asyncpg.Connection
) -> None:
    """It locks the prices and then the summaries; reads lock them in their own order."""
    await sql.execute("SET deadlock_timeout = '10ms'")
    await store(sql, range(current_slot() - 6000, current_slot(), 60))
    statuses: Counter[int] = Counter()
    async with running_api(settings) as api, asyncio.TaskGroup() as group:

        async def read(path: str) -> None:
            while True:
                statuses[(await api.get(path)).status] += 1

        readers = [group.create_task(read(path)) for path in READS for _ in range(2)]
        for _ in range(40):
            transaction = lock_connection.transaction()
            await transaction.start()
            await lock_connection.execute(_LOCK)
            await until(lambda: sql.fetchval(_SOMEBODY_WAITS_FOR_A_LOCK))
            with suppress(asyncpg.DeadlockDetectedError):  # it may be the one to give way
                await lock_connection.execute("TRUNCATE prices")
            await transaction.rollback()
        for reader in readers:
            reader.cancel()
    assert set(statuses) <= {200, 404, 503}
    assert statuses[200] > 100


async def test_cancelled_and_ended_sessions_end_nothing(
    settings: Settings, sql: asyncpg.Connection
) -> None:
    """A memory that no longer asks what changed would answer from the database alone, for good."""
    async with running_api(settings) as api:
        statuses: Counter[int] = Counter()
        for _ in range(60):
            await sql.execute(_CANCEL)
            statuses.update([(await api.get(path)).status for path in BLOCKED])
        assert set(statuses) <= {200, 404, 503}
        await sql.execute(_INSERT_PRICE, 0)
        await until(lambda: _is_ok(api, LATEST))


async def _all_unavailable(api: ApiClient) -> bool:
    return all([(await api.get(path)).status == 503 for path in BLOCKED])


async def _is_ok(api: ApiClient, path: str = LATEST) -> bool:
    return (await api.get(path)).status == 200
