"""A Valkey that goes, is silent, and comes back: what those who wait for it hear."""

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

import app.redis.client
from app.core.errors import BrokerUnavailable
from app.redis.client import map_redis_errors, open_redis, ping
from tests.clients.rate_limiters import (
    MakeLimiter,
    TcpRelay,
    acquire_and_release,
    open_limiters,
    wait_for_waiters,
)
from tests.conftest import Servers
from tests.postgres.restartable_servers import restartable_valkey


@pytest.fixture
async def make_limiter(servers: Servers, redis: Redis) -> AsyncIterator[MakeLimiter]:
    """Open limiters on a Valkey that is empty."""
    assert await redis.dbsize() == 0
    async with open_limiters(servers.redis_url) as make:
        yield make


@pytest.fixture
async def relay(servers: Servers) -> AsyncIterator[TcpRelay]:
    relay = TcpRelay(servers.redis_url)
    await relay.open()
    yield relay
    await relay.cut()


async def test_server_that_is_away_is_one_error_and_back_again_none(
    make_limiter: MakeLimiter, relay: TcpRelay
) -> None:
    limiter = make_limiter(relay.url)
    await acquire_and_release(limiter)
    await relay.cut()
    for _ in range(2):
        with pytest.raises(BrokerUnavailable, match="Redis does not answer"):
            await acquire_and_release(limiter)
    await relay.open()
    await acquire_and_release(limiter)


@pytest.mark.parametrize("is_pipeline", [False, True])
async def test_pooled_connections_that_ended_at_a_restart_are_no_outage(
    tmp_path: Path, *, is_pipeline: bool
) -> None:
    async with restartable_valkey(tmp_path) as server:
        client = open_redis(server.url)

        async def ask() -> None:
            with map_redis_errors():
                if is_pipeline:
                    pipeline = client.pipeline()
                    pipeline.get("a")
                    await pipeline.execute()
                else:
                    await client.get("a")

        await asyncio.gather(*(ask() for _ in range(3)))
        await server.stop()
        await server.start()
        await asyncio.gather(*(ask() for _ in range(3)))
        await client.aclose()


@pytest.mark.parametrize("login", ["", ":wrong@"])
async def test_refused_login_is_said(tmp_path: Path, login: str) -> None:
    async with restartable_valkey(tmp_path) as server:
        client = open_redis(server.url)
        await client.config_set("requirepass", "right")
        await client.aclose()
        stranger = open_redis(server.url.replace("//", f"//{login}"))
        with pytest.raises(BrokerUnavailable, match="Redis refuses the login"):
            await ping(stranger)
        await stranger.aclose()


async def test_every_waiter_hears_that_the_server_is_away(
    make_limiter: MakeLimiter, relay: TcpRelay
) -> None:
    limiter = make_limiter(relay.url, permits=1)
    async with limiter.acquire():
        visits = [asyncio.create_task(acquire_and_release(limiter)) for _ in range(5)]
        await wait_for_waiters(limiter, 5)
        await relay.cut()
        errors = await asyncio.gather(*visits, return_exceptions=True)
    assert {type(error) for error in errors} == {BrokerUnavailable}
    assert len(set(map(id, errors))) == 5  # each raises its own, with its own traceback
    assert not limiter._queue.waiting


async def test_server_that_is_silent_is_away(
    make_limiter: MakeLimiter, relay: TcpRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.redis.client, "SOCKET_TIMEOUT_SECONDS", 0.2)
    relay.is_silent = True
    with pytest.raises(BrokerUnavailable):
        await acquire_and_release(make_limiter(relay.url))


async def test_error_that_nobody_waits_for_is_not_reported(
    make_limiter: MakeLimiter, relay: TcpRelay
) -> None:
    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, report: reported.append(report))
    limiter = make_limiter(relay.url)
    await relay.cut()

    async def visit() -> None:
        async with asyncio.TaskGroup() as group:  # the first failure cancels the others
            for _ in range(5):
                group.create_task(acquire_and_release(limiter))

    with pytest.raises(ExceptionGroup):
        await visit()
    gc.collect()
    assert not reported


@pytest.mark.parametrize("error", [OSError("away"), TimeoutError(), ConnectionResetError()])
def test_what_a_lost_server_raises_is_translated(error: OSError) -> None:
    with pytest.raises(BrokerUnavailable, match=type(error).__name__), map_redis_errors():
        raise error


def test_what_is_no_failure_of_the_server_is_not_translated() -> None:
    with pytest.raises(ZeroDivisionError), map_redis_errors():
        raise ZeroDivisionError
