"""The status: read once for all who ask, with the slots of the last day."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest
from redis.asyncio import Redis

from app.domain.prices import TickerKey
from app.postgres.database import Database
from app.services.health import FreshnessService, StatusService
from tests.repositories.rows import add_recording, store

BTC = TickerKey("deribit", "btc_usd")
DAY = 86_400


@dataclass
class Clock:
    """A clock that stands still unless a test moves it."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def status(database: Database, redis: Redis, clock: Clock) -> AsyncIterator[StatusService]:
    service = StatusService(FreshnessService(database, redis, [BTC], 60), lambda: 7.9, clock)
    yield service
    await service.close()


async def test_all_who_ask_at_once_share_a_read(
    status: StatusService, statements: list[str]
) -> None:
    await status.read()
    of_one_read = len(statements)
    answers = await asyncio.gather(*(status.read() for _ in range(20)))
    assert len(statements) == of_one_read
    assert len({id(answer) for answer in answers}) == 1
    assert answers[0].timestamp == 7


async def test_first_who_ask_share_a_read(status: StatusService) -> None:
    answers = await asyncio.gather(*(status.read() for _ in range(20)))
    assert len({id(answer) for answer in answers}) == 1


async def test_status_is_kept_for_a_second(status: StatusService, clock: Clock) -> None:
    first = await status.read()
    clock.seconds += 0.99
    assert await status.read() is first
    clock.seconds += 0.01
    assert await status.read() is not first


async def test_slots_of_the_last_day_are_counted(
    status: StatusService, sql: asyncpg.Connection
) -> None:
    now = int(await sql.fetchval("SELECT extract(epoch FROM now())::bigint")) // 3600 * 3600
    await add_recording(sql, now - 3 * DAY, now - 3660)
    await store(sql, range(now - 3 * DAY, now - 8 * 3600, 60), source="backfill")
    await store(sql, range(now - 8 * 3600, now - 7200, 60))
    counts = (await status.read()).last_day
    assert counts is not None
    found = counts[BTC]
    assert (found.live, found.missing) == (360, 60)
    assert found.backfilled == found.expected - 420
    assert 900 <= found.backfilled <= 960


async def test_ticker_without_a_recording_has_no_slots(status: StatusService) -> None:
    assert (await status.read()).last_day == {}


async def test_servers_that_are_away_are_told_and_nothing_is_raised(clock: Clock) -> None:
    database = Database("postgresql+asyncpg://user@127.0.0.1:1/prices", pool_size=1)
    redis = Redis.from_url("redis://127.0.0.1:1/0")
    service = StatusService(FreshnessService(database, redis, [BTC], 60), lambda: 7.9, clock)
    status = await service.read()
    assert status.last_day is None
    assert "PostgreSQL does not answer" in status.report.database_trouble
    assert "Redis does not answer" in status.report.broker_trouble
    await service.close()
    await database.close()
