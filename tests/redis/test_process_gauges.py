"""The gauges of every API process, summed up by any of them."""

import pytest
from redis.asyncio import Redis

from app.core.metrics import STREAMS_OPEN, CounterKey
from app.redis.client import open_redis
from app.redis.process_gauges import LIFETIME_MS, PROCESSES_KEY, ProcessGauges

STREAMS = CounterKey(STREAMS_OPEN.name, ())
FREE = CounterKey("prices_pool_connections", ("free",))


async def test_gauges_of_all_processes_are_summed_up_by_their_labels(redis: Redis) -> None:
    ours, theirs = ProcessGauges(redis), ProcessGauges(redis)
    await theirs.publish({STREAMS: 2, FREE: 10})
    assert await ours.read_sums({STREAMS: 3}) == {STREAMS: 5, FREE: 10}


async def test_own_gauges_are_of_this_moment_not_the_published_ones(redis: Redis) -> None:
    ours = ProcessGauges(redis)
    await ours.publish({STREAMS: 2})
    assert await ours.read_sums({STREAMS: 3}) == {STREAMS: 3}


async def test_process_that_ends_takes_its_gauges_with_it(redis: Redis) -> None:
    ours, theirs = ProcessGauges(redis), ProcessGauges(redis)
    await theirs.publish({STREAMS: 2})
    await theirs.withdraw()
    assert await ours.read_sums({STREAMS: 3}) == {STREAMS: 3}
    assert await redis.keys(f"{PROCESSES_KEY}*") == []


async def test_gauges_of_a_killed_process_expire_and_it_is_forgotten(redis: Redis) -> None:
    ours, killed = ProcessGauges(redis), ProcessGauges(redis)
    await killed.publish({STREAMS: 2})
    (key,) = await redis.keys(f"{PROCESSES_KEY}:*")
    assert 0 < await redis.pttl(key) <= LIFETIME_MS
    await redis.delete(key)  # as its time does
    assert await ours.read_sums({STREAMS: 3}) == {STREAMS: 3}
    assert await redis.scard(PROCESSES_KEY) == 0


@pytest.mark.parametrize("does", ["publish", "withdraw"])
async def test_without_redis_a_process_knows_its_own(does: str) -> None:
    absent = open_redis("redis://127.0.0.1:1/0")
    gauges = ProcessGauges(absent)
    await (gauges.publish({STREAMS: 2}) if does == "publish" else gauges.withdraw())
    assert await gauges.read_sums({STREAMS: 3}) == {STREAMS: 3}
    await absent.aclose()
