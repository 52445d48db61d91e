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
from app.domain.health import Freshness, HealthReport
from app.domain.prices import TickerKey
from app.redis.alert_lease import STATE_KEY, AlertLease
from app.runtime import alert_lifespan, open_runtime
from app.services.alerts import AlertService, service
from tests.clients.rate_limiters import TcpRelay
from tests.conftest import Servers
from tests.waiting import until
from tests.webhook_receiver import WebhookReceiver, running_webhook_receiver

BTC = TickerKey("deribit", "btc_usd")
FRESH = HealthReport(60, [Freshness(BTC, 30, is_fresh=True)])
STALE = HealthReport(60, [Freshness(BTC, 190, is_fresh=False)])
ONE_ALERT_EACH = [("ticker_stale", "btc_usd"), ("ticker_recovered", "btc_usd")]
_INSERT_LIVE = """
INSERT INTO prices (exchange, ticker, timestamp, price, observed_us, source)
SELECT 'deribit', 'btc_usd', now - $1, 1, now * 1000000, 'live'
FROM (SELECT extract(epoch FROM clock_timestamp())::bigint AS now) AS clock
"""


@dataclass
class AlertSetup:
    """The health report that API processes see, and the webhook endpoint that they call."""

    redis_url: str
    receiver: WebhookReceiver
    report: HealthReport = FRESH
    checks: int = 0
    now: float = field(default=1768579260.5)

    async def check(self) -> HealthReport:
        self.checks += 1
        return self.report

    @asynccontextmanager
    async def run_process(self, redis_url: str | None = None) -> AsyncIterator[None]:
        """Run the alert service as one API process does."""
        redis = Redis.from_url(redis_url or self.redis_url, decode_responses=True)
        async with open_webhook(SecretStr(self.receiver.url)) as webhook:
            alerts = AlertService(self.check, lambda: self.now, AlertLease(redis), webhook)
            async with alerts.running():
                yield
        await redis.aclose()

    async def wait_for_checks(self, times: int = 2) -> None:
        """Wait until the leader has checked the health this many times more."""
        checks_wanted = self.checks + times

        async def has_checked() -> bool:
            return self.checks >= checks_wanted

        await until(has_checked)

    async def report_and_wait(self, report: HealthReport, number: int) -> None:
        """Change the health report, and wait until the endpoint has received `number` alerts."""
        self.report = report
        await until(lambda: self.receiver.has_received(number))

    async def become_stale(self) -> None:
        """Let the ticker go stale after a few checks, and wait for the first alert."""
        await self.wait_for_checks()
        await self.report_and_wait(STALE, 1)

    async def become_fresh(self) -> None:
        """Let the ticker recover after a few checks, and wait for the second alert."""
        await self.wait_for_checks()
        await self.report_and_wait(FRESH, 2)


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "CHECK_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(service, "FIRST_RETRY_SECONDS", 0.05)


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with running_webhook_receiver() as running_receiver:
        yield running_receiver


@pytest.fixture
async def alert_setup(
    short_pauses: None,  # noqa: ARG001  # fast
    servers: Servers,
    redis: Redis,  # noqa: ARG001  # emptied
    receiver: WebhookReceiver,
) -> AlertSetup:
    return AlertSetup(servers.redis_url, receiver)


@pytest.mark.usefixtures("short_pauses")
async def test_ticker_that_goes_stale_and_recovers_makes_two_calls(
    settings: Settings, sql: asyncpg.Connection, redis: Redis, receiver: WebhookReceiver
) -> None:
    url = SecretStr(receiver.url)
    own_settings = settings.model_copy(update={"alert_webhook_url": url, "tickers": ("btc_usd",)})
    await sql.execute(_INSERT_LIVE, 30)
    async with open_runtime(own_settings) as runtime, alert_lifespan(runtime):
        await until(lambda: redis.exists(STATE_KEY))
        await sql.execute("UPDATE prices SET timestamp = timestamp - 170")
        await until(lambda: receiver.has_received(1))
        await sql.execute(_INSERT_LIVE, 20)
        await until(lambda: receiver.has_received(2))
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


async def test_several_processes_call_once(alert_setup: AlertSetup) -> None:
    async with alert_setup.run_process(), alert_setup.run_process(), alert_setup.run_process():
        await alert_setup.become_stale()
        await alert_setup.become_fresh()
        await alert_setup.wait_for_checks()
    assert alert_setup.receiver.events == ONE_ALERT_EACH


async def test_lost_leader_is_followed_by_one_that_knows(alert_setup: AlertSetup) -> None:
    async with alert_setup.run_process():
        async with alert_setup.run_process():
            await alert_setup.become_stale()
        await alert_setup.become_fresh()
        await alert_setup.wait_for_checks()
    assert alert_setup.receiver.events == ONE_ALERT_EACH


async def test_restarted_process_does_not_repeat_itself(alert_setup: AlertSetup) -> None:
    async with alert_setup.run_process():
        await alert_setup.become_stale()
    async with alert_setup.run_process():
        await alert_setup.become_fresh()
    assert alert_setup.receiver.events == ONE_ALERT_EACH


async def test_flushed_redis_repeats_nothing(alert_setup: AlertSetup, redis: Redis) -> None:
    async with alert_setup.run_process(), alert_setup.run_process():
        await alert_setup.become_stale()
        for _ in range(3):
            await redis.flushall()
            await alert_setup.wait_for_checks(5)
        await alert_setup.report_and_wait(FRESH, 2)
    assert alert_setup.receiver.events == ONE_ALERT_EACH


async def test_last_leader_goes_on_while_redis_is_away(alert_setup: AlertSetup) -> None:
    relay = TcpRelay(alert_setup.redis_url)
    await relay.open()
    async with alert_setup.run_process(relay.url):
        await alert_setup.wait_for_checks()
        await relay.cut()
        await alert_setup.report_and_wait(STALE, 1)
        await relay.open()
        await alert_setup.report_and_wait(FRESH, 2)
        await alert_setup.wait_for_checks()
    await relay.cut()
    assert alert_setup.receiver.events == ONE_ALERT_EACH


async def test_endpoint_that_was_down_gets_both_in_order(alert_setup: AlertSetup) -> None:
    drain()
    alert_setup.receiver.status = 503
    async with alert_setup.run_process():
        await alert_setup.wait_for_checks()
        for report in (STALE, FRESH):
            alert_setup.report = report
            await alert_setup.wait_for_checks()
        await until(lambda: asyncio.sleep(0, alert_setup.receiver.attempts >= 3))
        alert_setup.receiver.status = 200
        await until(lambda: alert_setup.receiver.has_received(2))
    assert alert_setup.receiver.events == ONE_ALERT_EACH
    counted = {sample.values: amount for sample, amount in drain().items()}
    assert counted["ticker_stale", "failed"] >= 3
    assert counted["ticker_stale", "delivered"] == counted["ticker_recovered", "delivered"] == 1


async def test_alert_that_was_not_delivered_outlives_its_process(alert_setup: AlertSetup) -> None:
    alert_setup.receiver.status = 503
    async with alert_setup.run_process():
        await alert_setup.wait_for_checks()
        alert_setup.report = STALE
        await until(lambda: asyncio.sleep(0, alert_setup.receiver.attempts >= 1))
    alert_setup.receiver.status = 200
    async with alert_setup.run_process():
        await until(lambda: alert_setup.receiver.has_received(1))
        await alert_setup.wait_for_checks()
    assert alert_setup.receiver.events == ONE_ALERT_EACH[:1]


async def test_ticker_without_any_price_has_two_intervals(alert_setup: AlertSetup) -> None:
    alert_setup.report = HealthReport(1, [Freshness(BTC, None, is_fresh=False)])
    clock = asyncio.get_running_loop().time
    began = clock()
    async with alert_setup.run_process():
        await until(lambda: alert_setup.receiver.has_received(1))
    assert clock() - began > 2
    assert alert_setup.receiver.bodies[0]["age_seconds"] is None
    assert "no live price is known" in alert_setup.receiver.bodies[0]["text"]


async def test_database_that_is_away_makes_tickers_stale_after_two_intervals(
    alert_setup: AlertSetup,
) -> None:
    alert_setup.report = replace(FRESH, interval_seconds=1)
    clock = asyncio.get_running_loop().time
    async with alert_setup.run_process():
        await alert_setup.wait_for_checks()
        unknown = [Freshness(BTC, None, is_fresh=False)]
        began = clock()
        await alert_setup.report_and_wait(
            HealthReport(1, unknown, database_trouble="PostgreSQL does not answer"), 1
        )
        assert clock() - began > 1.5
    (body,) = alert_setup.receiver.bodies
    assert body["reason"] == "the database is away"
    assert 31 <= body["age_seconds"] <= 40


async def test_ticker_that_is_watched_no_more_is_forgotten(
    alert_setup: AlertSetup, redis: Redis
) -> None:
    async with alert_setup.run_process():
        await alert_setup.become_stale()
        alert_setup.report = HealthReport(60, [])
        await alert_setup.wait_for_checks()
        await alert_setup.report_and_wait(FRESH, 1)
    assert AlertState.load(str(await redis.get(STATE_KEY))) == AlertState()


def test_summaries_are_right_only_where_each_wrong_part_was_found_right_again() -> None:
    state, name = AlertState(), str(BTC)
    state.update_summaries({name: {0: 2, 7: 1}}, 1)
    state = AlertState.load(state.dump())
    nothing: dict[int, int] = {}
    for found in (nothing, {14: 0}, {7: 0, 14: 0}, {7: 0}):
        state.update_summaries({name: found}, 2)
        assert [alert.event for alert in state.pending] == ["summaries_wrong"]
    state.update_summaries({name: {0: 0}}, 3)
    state.update_summaries({name: {0: 0}}, 4)
    assert [(alert.event, alert.at) for alert in state.pending] == [
        ("summaries_wrong", 1),
        ("summaries_right", 3),
    ]
    assert (state.wrong, state.wrong_parts) == ({}, {})


def test_queue_is_bounded_and_drops_the_oldest() -> None:
    state = AlertState()
    dropped = []
    for at in range(MAX_PENDING + 1):
        dropped += state.update_tickers(
            [TickerStatus(BTC, is_stale=not at % 2, age_seconds=1, reason="x")], at
        )
    assert [alert.at for alert in dropped] == [0]
    assert len(state.pending) == MAX_PENDING


async def test_calls_are_one_a_second_after_a_burst(redis: Redis) -> None:
    async def check() -> HealthReport:
        return FRESH

    async with open_webhook(SecretStr("http://localhost/")) as webhook:
        alerts = AlertService(check, lambda: 0.0, AlertLease(redis), webhook)
        waits = [alerts._reserve_call() for _ in range(7)]
    assert waits[:5] == [0] * 5
    assert waits[5:] == pytest.approx([1, 2], abs=0.1)
