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
    GUARD_SECONDS,
    MakeLimiter,
    cancel,
    limiters_at,
    pass_through,
    until_waiting,
)
from tests.conftest import Servers
from tests.waiting import until

BUCKET, PERMITS = "prices:gate:test:bucket", "prices:gate:test:places"


@pytest.fixture
async def make_limiter(servers: Servers, redis: Redis) -> AsyncIterator[MakeLimiter]:
    """Open limiters on a Valkey that is empty."""
    assert await redis.dbsize() == 0
    async with limiters_at(servers.redis_url) as make:
        yield make


async def redis_time(redis: Redis) -> float:
    """Read Valkey's clock, the one that counts."""
    seconds, microseconds = await redis.time()
    return float(seconds) + float(microseconds) / 1_000_000


async def lease_end_us(redis: Redis) -> float:
    """Read when the only place that is taken comes back, on Valkey's clock."""
    found: Any = await redis.zrange(PERMITS, 0, -1, withscores=True)
    [(_, ends_at_us)] = found
    return float(ends_at_us)


async def script_calls(redis: Redis) -> int:
    """Count the scripts that ran since the statistics were reset."""
    statistics = await redis.info("commandstats")
    return int(statistics.get("cmdstat_evalsha", {}).get("calls", 0))


async def asked(redis: Redis, times: int) -> bool:
    """Tell whether so many scripts ran since the statistics were reset."""
    return await script_calls(redis) >= times


class House:
    """Counts who is in at once."""

    def __init__(self) -> None:
        self.most = self.present = 0

    async def visit(self, limiter: DistributedRateLimiter, steps: int = 20) -> None:
        async with asyncio.timeout(GUARD_SECONDS), limiter.acquire():
            self.present += 1
            self.most = max(self.most, self.present)
            try:
                for _ in range(steps):
                    await asyncio.sleep(0)
            finally:
                self.present -= 1


async def test_rate_holds_over_two_workers_together(
    make_limiter: MakeLimiter, redis: Redis
) -> None:
    rate, requests = 100, 160
    limiters = [make_limiter(rate=rate) for _ in range(2)]
    begun = await redis_time(redis)
    await asyncio.gather(*(pass_through(limiters[number % 2]) for number in range(requests)))
    elapsed = await redis_time(redis) - begun
    assert requests <= rate + elapsed * rate + 1  # a burst of one second's rate, then the rate


async def test_burst_is_at_most_one_seconds_rate(make_limiter: MakeLimiter, redis: Redis) -> None:
    limiter = make_limiter(rate=5)
    begun = await redis_time(redis)
    visits = [asyncio.create_task(pass_through(limiter)) for _ in range(20)]
    await asyncio.wait(visits, return_when=asyncio.FIRST_COMPLETED)
    admitted = sum(visit.done() for visit in visits)
    elapsed = await redis_time(redis) - begun
    assert 1 <= admitted <= 5 + elapsed * 5 + 1
    await cancel(*visits)


async def test_idle_time_saves_up_no_more_than_the_burst(
    make_limiter: MakeLimiter, redis: Redis
) -> None:
    limiter = make_limiter(rate=3)
    await redis.hset(BUCKET, mapping={"tokens": "0", "at_us": "0"})  # idle since 1970
    await pass_through(limiter)
    assert float(await redis.hget(BUCKET, "tokens") or 0) <= 2


async def test_clock_that_went_back_stops_nobody(make_limiter: MakeLimiter, redis: Redis) -> None:
    limiter = make_limiter(rate=1_000)
    await redis.hset(BUCKET, mapping={"tokens": "1", "at_us": "9" * 16})
    await pass_through(limiter)
    await pass_through(limiter)


async def test_rate_below_one_admits_one_at_a_time(make_limiter: MakeLimiter, redis: Redis) -> None:
    limiter = make_limiter(rate=0.01)
    await pass_through(limiter)
    waiter = asyncio.create_task(pass_through(limiter))
    await until_waiting(limiter, 1)
    await asyncio.wait([waiter], timeout=0.05)
    assert not waiter.done()
    assert float(await redis.hget(BUCKET, "tokens") or 0) < 1
    await cancel(waiter)


async def test_places_hold_over_two_workers_together(make_limiter: MakeLimiter) -> None:
    limiters = [make_limiter(permits=3) for _ in range(2)]
    house = House()
    await asyncio.gather(*(house.visit(limiters[number % 2]) for number in range(40)))
    assert house.most == 3


async def test_processes_that_wait_share_the_places(make_limiter: MakeLimiter) -> None:
    order: list[str] = []

    async def visit(limiter: DistributedRateLimiter, who: str) -> None:
        async with asyncio.timeout(GUARD_SECONDS), limiter.acquire():
            order.append(who)
            await asyncio.sleep(0.05)

    early, late = make_limiter(permits=8), make_limiter(permits=8)
    visits = [asyncio.create_task(visit(early, "early")) for _ in range(80)]
    await until_waiting(early, 72)
    visits += [asyncio.create_task(visit(late, "late")) for _ in range(80)]
    await asyncio.gather(*visits)
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

    async def visit(number: int) -> None:
        async with limiter.acquire():
            order.append(number)

    await asyncio.gather(*map(visit, range(50)))
    assert order == list(range(50))


@pytest.mark.parametrize("permits", [1_000, 10_000])
async def test_thousand_waiting_requests_ask_together(
    permits: int, make_limiter: MakeLimiter, redis: Redis
) -> None:
    limiter = make_limiter(permits=permits)
    await pass_through(limiter)  # loads the script
    await redis.config_resetstat()
    await asyncio.gather(*(pass_through(limiter) for _ in range(1_000)))
    assert await script_calls(redis) <= 3


async def test_many_requests_beyond_the_places_ask_in_batches(
    make_limiter: MakeLimiter, redis: Redis
) -> None:
    limiter = make_limiter(permits=50)
    await pass_through(limiter)
    await redis.config_resetstat()
    await asyncio.gather(*(pass_through(limiter) for _ in range(200)))
    assert await script_calls(redis) < 20


async def test_process_that_holds_every_place_hardly_asks(
    make_limiter: MakeLimiter, redis: Redis
) -> None:
    limiter = make_limiter(permits=1)
    async with limiter.acquire():
        waiting = asyncio.create_task(pass_through(limiter))
        await until_waiting(limiter, 1)
        await redis.config_resetstat()
        began = await redis_time(redis)
        await until(lambda: asked(redis, 10))
        seconds = await redis_time(redis) - began
    await waiting
    assert seconds > 10 * 0.04, "it asks to keep its precedence, and no more"


async def test_nothing_is_left_behind(make_limiter: MakeLimiter, redis: Redis) -> None:
    limiter = make_limiter(permits=4)
    await asyncio.gather(*(pass_through(limiter) for _ in range(40)))
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
    async with asyncio.timeout(GUARD_SECONDS), make_limiter(permits=1).acquire():
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
        visits = [asyncio.create_task(pass_through(limiter)) for _ in range(3)]
        await until_waiting(limiter, 3)
        await cancel(visits[1])
    await asyncio.gather(visits[0], visits[2])
    await limiter.close()
    assert await redis.zcard(PERMITS) == 0


@pytest.mark.parametrize("seed", range(5))
async def test_cancelling_at_any_moment_leaks_no_place(
    seed: int, make_limiter: MakeLimiter, redis: Redis
) -> None:
    rng = random.Random(seed)  # noqa: S311  # no secret
    limiter = make_limiter(permits=3)
    house = House()
    visits = [asyncio.create_task(house.visit(limiter, rng.randrange(5))) for _ in range(60)]
    for visit in rng.sample(visits, 30):
        await asyncio.sleep(rng.choice([0, 0, 0.001]))
        visit.cancel()
    results = await asyncio.gather(*visits, return_exceptions=True)
    assert {type(result) for result in results} <= {type(None), asyncio.CancelledError}
    assert house.most <= 3
    await limiter.close()
    assert await redis.zcard(PERMITS) == 0


async def test_waiter_cancelled_during_the_call_gives_its_place_back(
    make_limiter: MakeLimiter, redis: Redis
) -> None:
    limiter = make_limiter(permits=1)
    await pass_through(limiter)
    await limiter.close()
    lost = asyncio.create_task(pass_through(limiter))
    await asyncio.sleep(0)  # it waits
    await asyncio.sleep(0)  # the script is on its way
    await cancel(lost)
    await pass_through(limiter)
    await limiter.close()
    assert await redis.zcard(PERMITS) == 0


async def test_flushed_server_stops_nobody(make_limiter: MakeLimiter, redis: Redis) -> None:
    limiter = make_limiter(permits=2)
    async with limiter.acquire():
        await redis.flushall()
        await redis.script_flush()
        await pass_through(limiter)
    await pass_through(limiter)


async def test_more_turns_than_places_stop_nobody(make_limiter: MakeLimiter, redis: Redis) -> None:
    limiter = make_limiter(permits=1)
    async with limiter.acquire():
        limiter._held.add("given by a server that forgot the other")
        await redis.flushall()
        await redis.config_resetstat()
        waiting = asyncio.create_task(pass_through(limiter))
        await until(lambda: script_calls(redis))
        limiter._release("given by a server that forgot the other")
    await waiting


async def test_closed_gate_turns_away_who_waits(make_limiter: MakeLimiter, redis: Redis) -> None:
    limiter = make_limiter(permits=1)
    async with limiter.acquire():
        waiter = asyncio.create_task(pass_through(limiter))
        await until_waiting(limiter, 1)
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
        await pass_through(other)
    await other.close()


async def test_wait_that_the_exchange_asks_for_holds_in_every_process(
    make_limiter: MakeLimiter, redis: Redis
) -> None:
    one, other = make_limiter(), make_limiter()
    await one.pause_requests(600)
    await other.pause_requests(5)  # a shorter one does not end it
    for limiter in (one, other):
        with pytest.raises(ExchangeRateLimited) as refused:
            await pass_through(limiter)
        assert 590 < (refused.value.retry_after_seconds or 0) <= 600
    await redis.flushdb()  # what Redis forgets is asked anew
    await pass_through(other)


async def test_wait_that_is_over_is_forgotten(make_limiter: MakeLimiter) -> None:
    limiter = make_limiter()
    await limiter.pause_requests(0.05)

    async def admitted() -> bool:
        try:
            await pass_through(limiter)
        except ExchangeRateLimited:
            return False
        return True

    await until(admitted)


async def test_wait_is_an_hour_at_most(make_limiter: MakeLimiter) -> None:
    limiter = make_limiter()
    await limiter.pause_requests(86_400)
    with pytest.raises(ExchangeRateLimited) as refused:
        await pass_through(limiter)
    assert 3_590 < (refused.value.retry_after_seconds or 0) <= 3_600
