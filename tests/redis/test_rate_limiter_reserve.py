"""Low-priority requests of the rate limiter: they never delay others, and are never stuck."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from app.redis.rate_limiter import DistributedRateLimiter
from tests.clients.rate_limiters import (
    TIMEOUT_SECONDS,
    MakeLimiter,
    cancel_all,
    open_limiters,
    wait_for_waiters,
)
from tests.conftest import Servers
from tests.waiting import until

BUCKET, PERMITS = "prices:gate:test:bucket", "prices:gate:test:places"
WAITING = "prices:gate:test:waiting"


@pytest.fixture
async def make_limiter(servers: Servers, redis: Redis) -> AsyncIterator[MakeLimiter]:
    """Open limiters on a Valkey that is empty."""
    assert await redis.dbsize() == 0
    async with open_limiters(servers.redis_url) as make:
        yield make


async def hold_permit(limiter: DistributedRateLimiter, *, low_priority: bool = True) -> None:
    """Acquire a permit and keep it until cancelled."""
    async with limiter.acquire(low_priority=low_priority):
        await asyncio.Event().wait()


async def wait_until_stable(redis: Redis) -> None:
    """Wait until the number of permits in use stays the same for a while."""
    count = -1

    async def is_stable() -> bool:
        nonlocal count
        count_before, count = count, await redis.zcard(PERMITS)
        await asyncio.sleep(0.05)
        return bool(count_before == count == await redis.zcard(PERMITS))

    await until(is_stable)


@pytest.mark.parametrize(("permits", "taken"), [(1, 1), (2, 1), (3, 1), (8, 4), (9, 4)])
async def test_half_of_the_places_stay_free(
    permits: int, taken: int, make_limiter: MakeLimiter, redis: Redis
) -> None:
    limiters = [make_limiter(permits=permits) for _ in range(2)]
    repairs = [asyncio.create_task(hold_permit(limiters[number % 2])) for number in range(20)]
    await wait_until_stable(redis)
    assert await redis.zcard(PERMITS) == taken
    if permits > 1:
        async with asyncio.timeout(1), limiters[0].acquire():
            pass
    await cancel_all(*repairs)


@pytest.mark.parametrize("rate", [2, 5, 10, 11.5])
async def test_half_of_the_burst_stays_free(
    rate: float, make_limiter: MakeLimiter, redis: Redis
) -> None:
    repairs = [asyncio.create_task(hold_permit(make_limiter(rate=rate))) for _ in range(20)]
    await until(lambda: redis.zcard(PERMITS))
    for _ in range(10):
        assert float(await redis.hget(BUCKET, "tokens") or 0) >= min(rate / 2, rate - 1) - 0.001
        await asyncio.sleep(0.02)
    await cancel_all(*repairs)


@pytest.mark.parametrize("rate", [0.5, 1, 1.1, 1.5])
async def test_burst_of_one_still_lets_them_pass(
    rate: float, make_limiter: MakeLimiter, redis: Redis
) -> None:
    limiter = make_limiter(rate=rate)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        async with limiter.acquire(low_priority=True):
            pass
        await redis.hset(BUCKET, mapping={"tokens": "0", "at_us": "0"})  # idle since 1970
        async with limiter.acquire(low_priority=True):
            pass


async def test_who_waits_elsewhere_goes_first(make_limiter: MakeLimiter, redis: Redis) -> None:
    first_process, second_process = (make_limiter(rate=4) for _ in range(2))
    order: list[str] = []

    async def visit(limiter: DistributedRateLimiter, *, low_priority: bool) -> None:
        async with limiter.acquire(low_priority=low_priority):
            order.append("repair" if low_priority else "live")

    await redis.hset(BUCKET, mapping={"tokens": "0", "at_us": "9" * 16})
    live = [asyncio.create_task(visit(second_process, low_priority=False)) for _ in range(4)]
    await wait_for_waiters(second_process, 4)
    await until(lambda: redis.zcard(WAITING))
    await asyncio.gather(visit(first_process, low_priority=True), *live)
    assert order == ["live"] * 4 + ["repair"]


async def test_who_waits_in_the_same_process_goes_first(
    make_limiter: MakeLimiter, redis: Redis
) -> None:
    limiter = make_limiter(rate=1)
    await redis.hset(BUCKET, mapping={"tokens": "0.9", "at_us": "9" * 16})
    repair = asyncio.create_task(hold_permit(limiter))
    async with asyncio.timeout(TIMEOUT_SECONDS), limiter.acquire():
        assert not repair.done()
        assert await redis.zcard(PERMITS) == 1
    await cancel_all(repair)


async def test_precedence_of_a_clock_that_went_back_is_void(
    make_limiter: MakeLimiter, redis: Redis
) -> None:
    limiter = make_limiter(rate=1_000)
    await redis.zadd(WAITING, {"another process": float("9" * 16)})
    async with asyncio.timeout(TIMEOUT_SECONDS), limiter.acquire(low_priority=True):
        pass


@pytest.mark.parametrize("seed", range(8))
async def test_repairs_never_starve_live_requests(
    seed: int, make_limiter: MakeLimiter, redis: Redis
) -> None:
    """However many repairs wait and hold, a live burst up to the reserve is admitted at once."""
    rng = random.Random(seed)  # noqa: S311  # no secret
    rate, permits = rng.choice([4, 9, 20]), rng.choice([2, 5, 8])
    limiters = [make_limiter(rate=rate, permits=permits) for _ in range(3)]
    repairs = [asyncio.create_task(hold_permit(rng.choice(limiters))) for _ in range(30)]
    await asyncio.sleep(rng.uniform(0, 0.3))
    burst = min(rate // 2, permits // 2)
    live = [
        asyncio.create_task(hold_permit(rng.choice(limiters), low_priority=False))
        for _ in range(burst)
    ]
    await until(lambda: asyncio.sleep(0, not any(one._queue.waiting for one in limiters)), 0.2)
    assert await redis.zcard(PERMITS) <= permits
    await cancel_all(*live, *repairs)


async def test_repairs_all_pass_in_the_end(make_limiter: MakeLimiter) -> None:
    limiters = [make_limiter(rate=200, permits=3) for _ in range(2)]

    async def visit(number: int) -> None:
        async with limiters[number % 2].acquire(low_priority=number % 3 > 0):
            await asyncio.sleep(0)

    async with asyncio.timeout(TIMEOUT_SECONDS):
        await asyncio.gather(*map(visit, range(120)))


async def test_closed_gate_turns_away_repairs_too(make_limiter: MakeLimiter, redis: Redis) -> None:
    limiter = make_limiter(permits=1)
    repairs = [asyncio.create_task(hold_permit(limiter)) for _ in range(3)]
    await until(lambda: asyncio.sleep(0, len(limiter._low_priority_queue.waiting) == 2))
    await limiter.close()
    assert not limiter._low_priority_queue.waiting
    await cancel_all(*repairs)
    await limiter.close()
    assert await redis.zcard(PERMITS) == 0
