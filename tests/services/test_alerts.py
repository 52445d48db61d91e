"""Alerts: once when a ticker goes stale and once when it recovers, whatever restarts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import asyncpg
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from app.clients.webhook import open_webhook
from app.core.metrics import drain
from app.core.settings import Settings
from app.domain.alerts import MAX_PENDING, AlertState, TickerStatus
from app.domain.freshness import Freshness, HealthReport
from app.domain.prices import TickerKey
from app.redis.alert_lease import STATE_KEY, AlertLease
from app.runtime import alert_lifespan, open_runtime
from app.services.alerts import AlertService, service
from tests.clients.rate_limiters import Relay
from tests.conftest import Servers
from tests.receiver import Receiver, receiving
from tests.waiting import until

BTC = TickerKey("deribit", "btc_usd")
FRESH = HealthReport(60, [Freshness(BTC, 30, is_fresh=True)])
STALE = HealthReport(60, [Freshness(BTC, 190, is_fresh=False)])
ONCE = [("ticker_stale", "btc_usd"), ("ticker_recovered", "btc_usd")]
_LIVE = """
INSERT INTO prices (exchange, ticker, timestamp, price, observed_us, source)
SELECT 'deribit', 'btc_usd', now - $1, 1, now * 1000000, 'live'
FROM (SELECT extract(epoch FROM clock_timestamp())::bigint AS now) AS clock
"""


@dataclass
class World:
    """What watchers find when they look, and whom they tell; each has Redis to itself or shares."""

    redis_url: str
    receiver: Receiver
    findings: HealthReport = FRESH
    looks: int = 0
    now: float = field(default=1768579260.5)

    async def look(self) -> HealthReport:
        self.looks += 1
        return self.findings

    @asynccontextmanager
    async def watching(self, redis_url: str | None = None) -> AsyncIterator[None]:
        """Watch as one API process does."""
        redis = Redis.from_url(redis_url or self.redis_url, decode_responses=True)
        async with open_webhook(SecretStr(self.receiver.url)) as webhook:
            watch = AlertService(self.look, lambda: self.now, AlertLease(redis), webhook)
            async with watch.running():
                yield
        await redis.aclose()

    async def looked(self, times: int = 2) -> None:
        """Wait until the leader has looked so often again."""
        wanted = self.looks + times

        async def enough() -> bool:
            return self.looks >= wanted

        await until(enough)

    async def tells(self, findings: HealthReport, number: int) -> None:
        """Let watchers find something, and wait until so many calls in all came of it."""
        self.findings = findings
        await until(lambda: self.receiver.has(number))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "CHECK_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(service, "FIRST_RETRY_SECONDS", 0.05)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as taken:
        yield taken


@pytest.fixture
async def world(quick: None, servers: Servers, redis: Redis, receiver: Receiver) -> World:  # noqa: ARG001  # emptied, and fast
    return World(servers.redis_url, receiver)


@pytest.mark.usefixtures("quick")
async def test_ticker_that_goes_stale_and_recovers_makes_two_calls(
    settings: Settings, sql: asyncpg.Connection, redis: Redis, receiver: Receiver
) -> None:
    url = SecretStr(receiver.url)
    alone = settings.model_copy(update={"alert_webhook_url": url, "tickers": ("btc_usd",)})
    await sql.execute(_LIVE, 30)
    async with open_runtime(alone) as runtime, alert_lifespan(runtime):
        await until(lambda: redis.exists(STATE_KEY))
        await sql.execute("UPDATE prices SET timestamp = timestamp - 170")
        await until(lambda: receiver.has(1))
        await sql.execute(_LIVE, 20)
        await until(lambda: receiver.has(2))
    stale, fresh = receiver.bodies
    assert stale == {
        "event": "ticker_stale",
        "exchange": "deribit",
        "ticker": "btc_usd",
        "age_seconds": pytest.approx(200, abs=20),
        "reason": "no beat has reported",
        "at": pytest.approx(runtime.now(), abs=60),
        "text": f"deribit:btc_usd is stale: the newest slot is {stale['age_seconds']} s old: "
        "no beat has reported",
    }
    assert (fresh["event"], fresh["reason"]) == ("ticker_recovered", stale["reason"])
    assert fresh["text"].startswith("deribit:btc_usd is fresh again: the newest slot is 2")


async def test_several_processes_call_once(world: World) -> None:
    async with world.watching(), world.watching(), world.watching():
        await world.looked()
        await world.tells(STALE, 1)
        await world.looked()
        await world.tells(FRESH, 2)
        await world.looked()
    assert world.receiver.told == ONCE


async def test_lost_leader_is_followed_by_one_that_knows(world: World) -> None:
    async with world.watching():
        async with world.watching():
            await world.looked()
            await world.tells(STALE, 1)
        await world.looked()
        await world.tells(FRESH, 2)
        await world.looked()
    assert world.receiver.told == ONCE


async def test_restarted_process_does_not_repeat_itself(world: World) -> None:
    async with world.watching():
        await world.looked()
        await world.tells(STALE, 1)
    async with world.watching():
        await world.looked()
        await world.tells(FRESH, 2)
    assert world.receiver.told == ONCE


async def test_flushed_redis_repeats_nothing(world: World, redis: Redis) -> None:
    async with world.watching(), world.watching():
        await world.looked()
        await world.tells(STALE, 1)
        for _ in range(3):
            await redis.flushall()
            await world.looked(5)
        await world.tells(FRESH, 2)
    assert world.receiver.told == ONCE


async def test_last_leader_goes_on_while_redis_is_away(world: World) -> None:
    relay = Relay(world.redis_url)
    await relay.open()
    async with world.watching(relay.url):
        await world.looked()
        await relay.cut()
        await world.tells(STALE, 1)
        await relay.open()
        await world.tells(FRESH, 2)
        await world.looked()
    await relay.cut()
    assert world.receiver.told == ONCE


async def test_endpoint_that_was_down_gets_both_in_order(world: World) -> None:
    drain()
    world.receiver.status = 503
    async with world.watching():
        await world.looked()
        for findings in (STALE, FRESH):
            world.findings = findings
            await world.looked()
        await until(lambda: asyncio.sleep(0, world.receiver.attempts >= 3))
        world.receiver.status = 200
        await until(lambda: world.receiver.has(2))
    assert world.receiver.told == ONCE
    counted = {sample.values: amount for sample, amount in drain().items()}
    assert counted["ticker_stale", "failed"] >= 3
    assert counted["ticker_stale", "delivered"] == counted["ticker_recovered", "delivered"] == 1


async def test_alert_that_was_not_delivered_outlives_its_process(world: World) -> None:
    world.receiver.status = 503
    async with world.watching():
        await world.looked()
        world.findings = STALE
        await until(lambda: asyncio.sleep(0, world.receiver.attempts >= 1))
    world.receiver.status = 200
    async with world.watching():
        await until(lambda: world.receiver.has(1))
        await world.looked()
    assert world.receiver.told == ONCE[:1]


async def test_ticker_without_any_price_has_two_intervals(world: World) -> None:
    world.findings = HealthReport(1, [Freshness(BTC, None, is_fresh=False)])
    clock = asyncio.get_running_loop().time
    began = clock()
    async with world.watching():
        await until(lambda: world.receiver.has(1))
    assert clock() - began > 2
    assert world.receiver.bodies[0]["age_seconds"] is None
    assert "no live price is known" in world.receiver.bodies[0]["text"]


async def test_database_that_is_away_makes_tickers_stale_after_two_intervals(world: World) -> None:
    world.findings = replace(FRESH, interval_seconds=1)
    clock = asyncio.get_running_loop().time
    async with world.watching():
        await world.looked()
        unknown = [Freshness(BTC, None, is_fresh=False)]
        began = clock()
        await world.tells(
            HealthReport(1, unknown, database_trouble="PostgreSQL does not answer"), 1
        )
        assert clock() - began > 1.5
    (body,) = world.receiver.bodies
    assert body["reason"] == "the database is away"
    assert 31 <= body["age_seconds"] <= 40


async def test_ticker_that_is_watched_no_more_is_forgotten(world: World, redis: Redis) -> None:
    async with world.watching():
        await world.looked()
        await world.tells(STALE, 1)
        world.findings = HealthReport(60, [])
        await world.looked()
        await world.tells(FRESH, 1)
    assert AlertState.load(str(await redis.get(STATE_KEY))) == AlertState()


def test_summaries_are_right_only_where_each_wrong_part_was_found_right_again() -> None:
    told, name = AlertState(), str(BTC)
    told.update_summaries({name: {0: 2, 7: 1}}, 1)
    told = AlertState.load(told.dump())
    nothing: dict[int, int] = {}
    for found in (nothing, {14: 0}, {7: 0, 14: 0}, {7: 0}):
        told.update_summaries({name: found}, 2)
        assert [alert.event for alert in told.pending] == ["summaries_wrong"]
    told.update_summaries({name: {0: 0}}, 3)
    told.update_summaries({name: {0: 0}}, 4)
    assert [(alert.event, alert.at) for alert in told.pending] == [
        ("summaries_wrong", 1),
        ("summaries_right", 3),
    ]
    assert (told.wrong, told.wrong_parts) == ({}, {})


def test_queue_is_bounded_and_drops_the_oldest() -> None:
    told = AlertState()
    dropped = []
    for at in range(MAX_PENDING + 1):
        dropped += told.update_tickers(
            [TickerStatus(BTC, is_stale=not at % 2, age_seconds=1, reason="x")], at
        )
    assert [alert.at for alert in dropped] == [0]
    assert len(told.pending) == MAX_PENDING


async def test_calls_are_one_a_second_after_a_burst(redis: Redis) -> None:
    async def check() -> HealthReport:
        return FRESH

    async with open_webhook(SecretStr("http://localhost/")) as webhook:
        alerts = AlertService(check, lambda: 0.0, AlertLease(redis), webhook)
        waits = [alerts._reserve_call() for _ in range(7)]
    assert waits[:5] == [0] * 5
    assert waits[5:] == pytest.approx([1, 2], abs=0.1)
