"""What beat and workers report in Redis, on its clock."""

import asyncio

import pytest
from redis.asyncio import Redis

from app.core.errors import AppError, BrokerUnavailable, DatabaseFull, ExchangeTimeout
from app.domain.prices import TickerKey
from app.redis.process_reports import (
    ANSWERS_KEY,
    FAILURES_KEY,
    Heartbeat,
    Role,
    TickReports,
    read_process_reports,
)
from tests.clients.rate_limiters import TcpRelay
from tests.conftest import Servers

BTC = TickerKey("deribit", "btc_usd")
ETH = TickerKey("deribit", "eth_usd")
TIMEOUT: AppError = ExchangeTimeout("no answer")


@pytest.fixture
def reports(redis: Redis) -> TickReports:
    return TickReports(redis, 60)


async def make_older(redis: Redis, seconds: int) -> None:
    """Make every failure as if it had been noted so much earlier."""
    for name, text in (await redis.hgetall(FAILURES_KEY)).items():
        script = (
            "local f = cjson.decode(ARGV[1]);"
            "f.since_ms = f.since_ms - ARGV[2]; f.noted_ms = f.noted_ms - ARGV[2];"
            "return cjson.encode(f)"
        )
        await redis.hset(FAILURES_KEY, name, await redis.eval(script, 0, text, seconds * 1000))


async def test_heartbeat_is_as_old_as_redis_says(servers: Servers, redis: Redis) -> None:
    Heartbeat(servers.redis_url, Role.BEAT, "here").beat()
    seconds, _ = await redis.time()
    await redis.zadd("prices:signs:worker", {"there": (seconds - 40) * 1000})
    reports = await read_process_reports(redis)
    assert 0 <= reports.beats["here"] < 5
    assert 39 <= reports.workers["there"] < 50


async def test_who_was_silent_for_ten_minutes_is_forgotten(servers: Servers, redis: Redis) -> None:
    seconds, _ = await redis.time()
    ages = {"an hour": (seconds - 610) * 1000, "nearly": (seconds - 500) * 1000}
    await redis.zadd("prices:signs:beat", ages)
    Heartbeat(servers.redis_url, Role.BEAT, "now").beat()
    assert (await read_process_reports(redis)).beats.keys() == {"nearly", "now"}


async def test_flush_heals_with_the_next_heartbeat(servers: Servers, redis: Redis) -> None:
    heartbeat = Heartbeat(servers.redis_url, Role.WORKER, "here")
    heartbeat.beat()
    await redis.flushall()
    await redis.script_flush()
    heartbeat.beat()
    assert (await read_process_reports(redis)).workers.keys() == {"here"}


async def test_redis_that_is_away_costs_a_sign_and_no_more(servers: Servers) -> None:
    relay = TcpRelay(servers.redis_url)
    await relay.open()
    heartbeat = Heartbeat(relay.url, Role.WORKER, "here")
    await asyncio.to_thread(heartbeat.beat)
    await relay.cut()
    await asyncio.to_thread(heartbeat.beat)
    await relay.open()
    await asyncio.to_thread(heartbeat.beat)
    await relay.cut()
    with pytest.raises(BrokerUnavailable):
        await read_process_reports(Redis.from_url(relay.url))


async def test_failure_goes_on_since_its_first_note(redis: Redis, reports: TickReports) -> None:
    await reports.record_failures({BTC: TIMEOUT})
    await make_older(redis, 60)
    await reports.record_failures({BTC: TIMEOUT})
    failure = (await read_process_reports(redis)).failures[str(BTC)]
    assert (failure.code, failure.detail) == ("exchange_timeout", "no answer")
    assert 60 <= failure.since_seconds < 70
    assert failure.last_seconds < 10


async def test_a_failure_of_another_code_goes_on(redis: Redis, reports: TickReports) -> None:
    await reports.record_failures({BTC: TIMEOUT})
    await make_older(redis, 60)
    await reports.record_failures({BTC: DatabaseFull("no space")})
    failure = (await read_process_reports(redis)).failures[str(BTC)]
    assert failure.code == "database_full"
    assert failure.since_seconds >= 60


async def test_a_late_failure_begins_anew(redis: Redis, reports: TickReports) -> None:
    await reports.record_failures({BTC: TIMEOUT})
    await make_older(redis, 121)
    await reports.record_failures({BTC: TIMEOUT})
    assert (await read_process_reports(redis)).failures[str(BTC)].since_seconds < 10


async def test_a_price_ends_what_another_process_noted(redis: Redis, reports: TickReports) -> None:
    await reports.record_failures({BTC: TIMEOUT})
    await TickReports(redis, 60).record_failures({}, [BTC])
    assert (await read_process_reports(redis)).failures == {}


async def test_a_redis_that_refuses_writes_says_so(redis: Redis) -> None:
    await redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(BrokerUnavailable, match="answers and refuses"):
            await read_process_reports(redis)
    finally:
        await redis.config_set("maxmemory", 0)


async def test_ticker_that_is_stored_again_has_no_failure(
    redis: Redis, reports: TickReports
) -> None:
    await reports.record_failures({BTC: TIMEOUT, ETH: TIMEOUT})
    await reports.record_failures({}, [BTC])
    assert (await read_process_reports(redis)).failures.keys() == {str(ETH)}


async def test_failure_can_not_be_noted_while_redis_is_away() -> None:
    reports = TickReports(Redis.from_url("redis://127.0.0.1:1/0"), 60)
    await reports.record_failures({BTC: TIMEOUT})
    await reports.record_answers({"deribit": 0.5})


async def test_failure_began_with_the_first_failed_fetch(
    redis: Redis, reports: TickReports
) -> None:
    await reports.record_failures({BTC: TIMEOUT}, failing_seconds={BTC: 50})
    await reports.record_failures({BTC: TIMEOUT}, failing_seconds={BTC: 10})
    (failure,) = (await read_process_reports(redis)).failures.values()
    assert failure.since_seconds >= 50
    assert failure.last_seconds < 10


async def test_answer_times_are_those_of_the_last_tick(redis: Redis, reports: TickReports) -> None:
    await reports.record_answers({"deribit": 0.08423, "other": 2})
    await reports.record_answers({"other": 1.5})
    await reports.record_answers({})
    answers = (await read_process_reports(redis)).answer_milliseconds
    assert answers == {"deribit": 84.2, "other": 1500}
    assert 100_000 < await redis.pttl(ANSWERS_KEY) <= 120_000


async def test_exchange_that_did_not_answer_has_no_answer_time(
    redis: Redis, reports: TickReports
) -> None:
    await reports.record_answers({"deribit": 0.1, "other": 2})
    await reports.record_answers({"deribit": None})
    assert (await read_process_reports(redis)).answer_milliseconds == {"other": 2000}
