"""The rate limiter on a real Valkey: two workers, lost workers, and requests that give up."""

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from app.core.errors import BrokerUnavailable, ExchangeRateLimited
from app.redis.rate_limiter import DistributedRateLimiter
from tests.clients.processes import PROJECT
from tests.clients.rate_limiters import (
    TIMEOUT_SECONDS,
    MakeLimiter,
    acquire_and_release,
    cancel_all,
    open_limiters,
    wait_for_waiters,
)
from tests.conftest import Servers
from tests.waiting import until

BUCKET, PERMITS = "prices:gate:test:bucket", "prices:gate:test:places"


@pytest.fixture
async def make_limiter(servers: Servers, redis: Redis) -> AsyncIterator[MakeLimiter]:
    """Open limiters on a Valkey that is empty."""
    assert await redis.dbsize() == 0
    async with open_limiters(servers.redis_url) as make:
        yield make


async def redis_time(redis: Redis) -> float:
    """Read Valkey's clock, the one that counts."""
    seconds, microseconds = await redis.time()
    return float(seconds) + float(microseconds) / 1_000_000


async def lease_end_us(redis: Redis) -> float:
    """Return when the lease of the only permit in use ends, on Valkey's clock."""
    found: Any = await redis.zrange(PERMITS, 0, -1, withscores=True)
    [(_, ends_at_us)] = found
    return float(ends_at_us)


async def script_calls(redis: Redis) -> int:
    """Count the scripts that ran since the statistics were reset."""
    statistics = await redis.info("commandstats")
    return int(statistics.get("cmdstat_evalsha", {}).get("calls", 0))


async def has_called_scripts(redis: Redis, times: int) -> bool:
    """Tell whether at least this many scripts ran since the statistics were reset."""
    return await script_calls(redis) >= times


class ConcurrencyCounter:
    """Counts how many requests hold a permit at the same time."""

    def __init__(self) -> None:
        self.max_active = self.active = 0

    async def hold_permit(self, limiter: DistributedRateLimiter, steps: int = 20) -> None:
        async with asyncio.timeout(TIMEOUT_SECONDS), limiter.acquire():
            self.active += 1
            self.max_active = max(self.max_active, self.active)
            try:
                for _ in range(steps):
                    await asyncio.sleep(0)
            finally:
                self.active -= 1


async def test_rate_holds_over_two_workers_together(
    make_limiter: MakeLimiter, redis: Redis
) -> None:
    rate, requests = 100, 160
    limiters = [make_limiter(rate=rate) for _ in range(2)]
    began_at = await redis_time(redis)
    await asyncio.gather(*(acquire_and_release(limiters[number % 2]) for number in range(requests)))
    elapsed = await redis_time(redis) - began_at
    assert requests <= rate + elapsed * rate + 1  # a burst of one second's rate, then the rate


async def test_burst_is_at_most_one_seconds_rate(make_limiter: MakeLimiter, redis: Redis) -> None:
    limiter = make_limiter(rate=5)
    began_at = await redis_time(redis)
    tasks = [asyncio.create_task(acquire_and_release(limiter)) for _ in range(20)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    admitted = sum(task.done() for task in tasks)
    elapsed = await redis_time(redis) - began_at
    assert 1 <= admitted <= 5 + elapsed * 5 + 1
    await cancel_all(*tasks)


async def test_idle_time_saves_up_no_more_than_the_burst(
    make_limiter: MakeLimiter, redis: Redis
) -> None:
    limiter = make_limiter(rate=3)
    await redis.hset(BUCKET, mapping={"tokens": "0", "at_us": "0"})  # idle since 1970
    await acquire_and_release(limiter)
    assert float(await redis.hget(BUCKET, "tokens") or 0) <= 2


async def test_clock_that_went_back_stops_nobody(make_limiter: MakeLimiter, redis: Redis) -> None:
    limiter = make_limiter(rate=1_000)
    await redis.hset(BUCKET, mapping={"tokens": "1", "at_us": "9" * 16})
    await acquire_and_release(limiter)
    await acquire_and_release(limiter)


async def test_rate_below_one_admits_one_at_a_time(make_limiter: MakeLimiter, redis: Redis) -> None:
    limiter = make_limiter(rate=0.01)
    await acquire_and_release(limiter)
    waiter = asyncio.create_task(acquire_and_release(limiter))
    await wait_for_waiters(limiter, 1)
    await asyncio.wait([waiter], timeout=0.05)
    assert not waiter.done()
    assert float(await redis.hget(BUCKET, "tokens") or 0) < 1
    await cancel_all(waiter)


async def test_places_hold_over_two_workers_together(make_limiter: MakeLimiter) -> None:
    limiters = [make_limiter(permits=3) for _ in range(2)]
    counter = ConcurrencyCounter()
    await asyncio.gather(*(counter.hold_permit(limiters[number % 2]) for number in range(40)))
    assert counter.max_active == 3


async def test_processes_that_wait_share_the_places(make_limiter: MakeLimiter) -> None:
    order: list[str] = []

    async def hold_permit(limiter: DistributedRateLimiter, name: str) -> None:
        async with asyncio.timeout(TIMEOUT_SECONDS), limiter.acquire():
            order.append(name)
            await asyncio.sleep(0.05)

    first_process, second_process = make_limiter(permits=8), make_limiter(permits=8)
    tasks = [asyncio.create_task(hold_permit(first_process, "early")) for _ in range(80)]
    await wait_for_waiters(first_process, 72)
    tasks += [asyncio.create_task(hold_permit(second_process, "late")) for _ in range(80)]
    await asyncio.gather(*tasks)
    assert order[:80].count("late") > 30, "who came later had to wait for the other's end"


async def test_place_is_given_back_after_an_error(make_limiter: MakeLimiter) -> None:
    limiter = make_limiter(permits=1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with limiter.acquire():
                raise ZeroDivisionError


async def test_requests_are_admitted_in_their_order(make_limiter: MakeLimiter) -> None:
    limiter = make_limiter(permits=2)
    order: list[int] = []

    async def acquire(number: int) -> None:
        async with limiter.acquire():
            order.append(number)

    await asyncio.gather(*map(acquire, range(50)))
    assert order == list(range(50))


@pytest.mark.parametrize("permits", [1_000, 10_000])
async def test_thousand_waiting_requests_ask_together(
    permits: int, make_limiter: MakeLimiter, redis: Redis
) -> None:
    limiter = make_limiter(permits=permits)
    await acquire_and_release(limiter)  # loads the script
    await redis.config_resetstat()
    await asyncio.gather(*(acquire_and_release(limiter) for _ in range(1_000)))
    assert await script_calls(redis) <= 3


async def test_many_requests_beyond_the_places_ask_in_batches(
    make_limiter: MakeLimiter, redis: Redis
) -> None:
    limiter = make_limiter(permits=50)
    await acquire_and_release(limiter)
    await redis.config_resetstat()
    await asyncio.gather(*(acquire_and_release(limiter) for _ in range(200)))
    assert await script_calls(redis) < 20


async def test_process_that_holds_every_place_hardly_asks(
    make_limiter: MakeLimiter, redis: Redis
) -> None:
    limiter = make_limiter(permits=1)
    async with limiter.acquire():
        waiting = asyncio.create_task(acquire_and_release(limiter))
        await wait_for_waiters(limiter, 1)
        await redis.config_resetstat()
        began = await redis_time(redis)
        await until(lambda: has_called_scripts(redis, 10))
        seconds = await redis_time(redis) - began
    await waiting
    assert seconds > 10 * 0.04, "it asks to keep its precedence, and no more"


async def test_nothing_is_left_behind(make_limiter: MakeLimiter, redis: Redis) -> None:
    limiter = make_limiter(permits=4)
    await asyncio.gather(*(acquire_and_release(limiter) for _ in range(40)))
    await limiter.close()
    assert await redis.zcard(PERMITS) == 0
    assert not limiter._queue.waiting


HOLD = """
import asyncio, sys
from app.redis.rate_limiter import DistributedRateLimiter
from app.redis.client import open_redis

async def main():
    limits = {"rate": 1000, "permits": 1, "lease_seconds": 0.5}
    limiter = DistributedRateLimiter(open_redis(sys.argv[1]), "test", **limits)
    async with limiter.acquire():
        print("in", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_place_of_a_killed_worker_comes_back_with_its_lease(
    make_limiter: MakeLimiter, redis: Redis, servers: Servers
) -> None:
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLD, servers.redis_url),
        stdout=asyncio.subprocess.PIPE,
        cwd=PROJECT,
    )
    assert worker.stdout is not None
    assert await worker.stdout.readline() == b"in\n"
    ends_at_us = await lease_end_us(redis)
    worker.kill()
    await worker.communicate()
    async with asyncio.timeout(TIMEOUT_SECONDS), make_limiter(permits=1).acquire():
        assert await redis_time(redis) * 1_000_000 >= ends_at_us


async def test_lease_lies_on_valkeys_clock(
    make_limiter: MakeLimiter, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    limiter = make_limiter(lease_seconds=7)
    monkeypatch.setattr(time, "time", lambda: 12_345.0)
    monkeypatch.setattr(time, "time_ns", lambda: 12_345 * 10**9)
    before = await redis_time(redis)
    async with limiter.acquire():
        ends_at_us = await lease_end_us(redis)
    after = await redis_time(redis)
    assert before + 7 - 0.001 <= ends_at_us / 1_000_000 <= after + 7 + 0.001


async def test_cancelled_waiter_leaves_the_others_their_turn(
    make_limiter: MakeLimiter, redis: Redis
) -> None:
    limiter = make_limiter(permits=1)
    async with limiter.acquire():
        tasks = [asyncio.create_task(acquire_and_release(limiter)) for _ in range(3)]
        await wait_for_waiters(limiter, 3)
        await cancel_all(tasks[1])
    await asyncio.gather(tasks[0], tasks[2])
    await limiter.close()
    assert await redis.zcard(PERMITS) == 0


@pytest.mark.parametrize("seed", range(5))
async def test_cancelling_at_any_moment_leaks_no_place(
    seed: int, make_limiter: MakeLimiter, redis: Redis
) -> None:
    rng = random.Random(seed)  # noqa: S311  # no secret
    limiter = make_limiter(permits=3)
    counter = ConcurrencyCounter()
    tasks = [asyncio.create_task(counter.hold_permit(limiter, rng.randrange(5))) for _ in range(60)]
    for task in rng.sample(tasks, 30):
        await asyncio.sleep(rng.choice([0, 0, 0.001]))
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(result) for result in results} <= {type(None), asyncio.CancelledError}
    assert counter.max_active <= 3
    await limiter.close()
    assert await redis.zcard(PERMITS) == 0


async def test_waiter_cancelled_during_the_call_gives_its_place_back(
    make_limiter: MakeLimiter, redis: Redis
) -> None:
    limiter = make_limiter(permits=1)
    await acquire_and_release(limiter)
    await limiter.close()
    cancelled_waiter = asyncio.create_task(acquire_and_release(limiter))
    await asyncio.sleep(0)  # it waits
    await asyncio.sleep(0)  # the script is on its way
    await cancel_all(cancelled_waiter)
    await acquire_and_release(limiter)
    await limiter.close()
    assert await redis.zcard(PERMITS) == 0


async def test_flushed_server_stops_nobody(make_limiter: MakeLimiter, redis: Redis) -> None:
    limiter = make_limiter(permits=2)
    async with limiter.acquire():
        await redis.flushall()
        await redis.script_flush()
        await acquire_and_release(limiter)
    await acquire_and_release(limiter)


async def test_more_turns_than_places_stop_nobody(make_limiter: MakeLimiter, redis: Redis) -> None:
    limiter = make_limiter(permits=1)
    async with limiter.acquire():
        limiter._held.add("given by a server that forgot the other")
        await redis.flushall()
        await redis.config_resetstat()
        waiting = asyncio.create_task(acquire_and_release(limiter))
        await until(lambda: script_calls(redis))
        limiter._release("given by a server that forgot the other")
    await waiting


async def test_closed_gate_turns_away_who_waits(make_limiter: MakeLimiter, redis: Redis) -> None:
    limiter = make_limiter(permits=1)
    async with limiter.acquire():
        waiter = asyncio.create_task(acquire_and_release(limiter))
        await wait_for_waiters(limiter, 1)
        await limiter.close()
        with pytest.raises(BrokerUnavailable, match="closed"):
            await waiter
    await limiter.close()
    assert await redis.zcard(PERMITS) == 0


async def test_gates_of_two_exchanges_know_nothing_of_each_other(
    make_limiter: MakeLimiter, redis: Redis
) -> None:
    other = DistributedRateLimiter(redis, "other", rate=1, permits=1, lease_seconds=30)
    async with make_limiter(rate=1, permits=1).acquire():
        await acquire_and_release(other)
    await other.close()


async def test_wait_that_the_exchange_asks_for_holds_in_every_process(
    make_limiter: MakeLimiter, redis: Redis
) -> None:
    one, other = make_limiter(), make_limiter()
    await one.pause_requests(600)
    await other.pause_requests(5)  # a shorter one does not end it
    for limiter in (one, other):
        with pytest.raises(ExchangeRateLimited) as refused:
            await acquire_and_release(limiter)
        assert 590 < (refused.value.retry_after_seconds or 0) <= 600
    await redis.flushdb()  # what Redis forgets is asked anew
    await acquire_and_release(other)


async def test_wait_that_is_over_is_forgotten(make_limiter: MakeLimiter) -> None:
    limiter = make_limiter()
    await limiter.pause_requests(0.05)

    async def is_admitted() -> bool:
        try:
            await acquire_and_release(limiter)
        except ExchangeRateLimited:
            return False
        return True

    await until(is_admitted)


async def test_wait_is_an_hour_at_most(make_limiter: MakeLimiter) -> None:
    limiter = make_limiter()
    await limiter.pause_requests(86_400)
    with pytest.raises(ExchangeRateLimited) as refused:
        await acquire_and_release(limiter)
    assert 3_590 < (refused.value.retry_after_seconds or 0) <= 3_600
