"""Alerts: one call when a ticker goes stale and one when it recovers, over all API processes.

The same goes for its hourly summaries when a check finds them wrong.

docs/adr/0010 tells why the API watches, and what happens while Redis or the endpoint is away.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Protocol

import structlog

from app.core.background import run_repeatedly
from app.core.errors import BrokerUnavailable
from app.core.event_wait import wait_for_event
from app.core.metrics import ALERTS, count
from app.domain.alerts import Alert, AlertState, TickerStatus, alert_payload
from app.domain.freshness import Freshness, HealthReport, ProcessStatus
from app.domain.prices import TickerKey
from app.domain.slots import STALE_AFTER_INTERVALS
from app.redis.alert_lease import AlertLease

PAUSE_SECONDS = 1.0
LOOKS_BEFORE_TAKING = 3
"""So often a free lease is left to its last holder, who knows best what was told."""
FIRST_RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 60.0
BURST = 5

log = structlog.get_logger(__name__)


class Endpoint(Protocol):
    """Who is told."""

    async def post(self, body: Mapping[str, object]) -> str:
        """Post a body; return why it was not taken, else an empty string."""
        ...


class AlertWatch:
    """Watches the tickers as long as it holds the lease; an API process has one."""

    def __init__(
        self,
        look: Callable[[], Awaitable[HealthReport]],
        now: Callable[[], float],
        lease: AlertLease,
        endpoint: Endpoint,
    ) -> None:
        self._look = look
        self._now = now
        self._lease = lease
        self._told = AlertState()
        self._kept: str | None = None
        self._judge = _Judge()
        self._delivery = _Delivery(endpoint, self._keep)
        self._is_leader = False
        self._free_looks = 0
        self._closing = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch while the block runs; a call that is under way is brought to its end."""
        watching = asyncio.create_task(
            run_repeatedly("alerts", self._watch, while_=lambda: not self._closing.is_set())
        )
        try:
            yield
        finally:
            self._closing.set()
            await watching
            await self._delivery.close()
            with suppress(BrokerUnavailable):
                await self._lease.release()

    async def _watch(self) -> None:
        await self._step()
        await wait_for_event(self._closing, PAUSE_SECONDS)

    async def _step(self) -> None:
        await self._hold()
        if self._is_leader:
            findings = await self._look()
            self._told.remove_others(ticker.key for ticker in findings.tickers)
            now, signs = int(self._now()), findings.signs or ProcessStatus()
            dropped = self._told.update_tickers(self._judge.judge(findings), now)
            for alert in [*dropped, *self._told.update_summaries(signs.checked_hours, now)]:
                count(ALERTS, alert.event, "dropped")
            await self._keep()
        self._delivery.go_on(self._told.pending if self._is_leader else [])

    async def _hold(self) -> None:
        """Learn whether this process tells, and what was told; while Redis is away, all stays."""
        try:
            acquire_if_free = self._is_leader or self._free_looks >= LOOKS_BEFORE_TAKING
            hold = await self._lease.renew(acquire_if_free=acquire_if_free)
        except BrokerUnavailable:
            return
        self._free_looks = self._free_looks + 1 if hold.is_free else 0
        if hold.alert_state is not None and not (hold.is_held and self._is_leader):
            self._told = AlertState.load(hold.alert_state)
        self._is_leader, self._kept = hold.is_held, hold.alert_state

    async def _keep(self) -> None:
        """Keep what was told, if it changed or Redis lost it; while that is away, later."""
        told = self._told.dump()
        if told != self._kept:
            with suppress(BrokerUnavailable):
                await self._lease.save_state(told)


class _Judge:
    """Turns what a look found into verdicts; none where it is too early for one.

    What was not seen fresh yet has two intervals from the start. So long the database may be away,
    too, before its tickers are called stale.
    """

    def __init__(self) -> None:
        self._clock = asyncio.get_running_loop().time
        self._started_at = self._seen_at = self._clock()
        self._ages: dict[TickerKey, int | None] = {}
        self._seen_fresh: set[TickerKey] = set()

    def judge(self, findings: HealthReport) -> Iterator[TickerStatus]:
        patience = STALE_AFTER_INTERVALS * findings.interval_seconds
        if not findings.database_trouble:
            self._see(findings)
        away = self._clock() - self._seen_at
        if findings.database_trouble and away <= patience:
            return
        is_early = self._clock() - self._started_at <= patience
        for ticker in findings.tickers:
            if ticker.is_fresh or not is_early or ticker.key in self._seen_fresh:
                yield self._verdict(ticker, findings, away)

    def _see(self, findings: HealthReport) -> None:
        self._seen_at = self._clock()
        self._ages = {ticker.key: ticker.age_seconds for ticker in findings.tickers}
        self._seen_fresh.update(ticker.key for ticker in findings.tickers if ticker.is_fresh)

    def _verdict(self, ticker: Freshness, findings: HealthReport, away: float) -> TickerStatus:
        if ticker.is_fresh:
            return TickerStatus(
                ticker.key, is_stale=False, age_seconds=ticker.age_seconds, reason=""
            )
        known = self._ages.get(ticker.key)
        age = None if known is None else known + round(away)
        return TickerStatus(
            ticker.key, is_stale=True, age_seconds=age, reason=findings.reason(ticker.key)
        )


class _Delivery:
    """Delivers what is pending, one after the other, in a task that ends with the last."""

    def __init__(self, endpoint: Endpoint, keep: Callable[[], Awaitable[None]]) -> None:
        self._endpoint = endpoint
        self._keep = keep
        self._pending: list[Alert] = []
        self._pace = _Pace()
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def go_on(self, pending: list[Alert]) -> None:
        """Deliver these alerts, which may grow meanwhile, and no others."""
        self._pending = pending
        if pending and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(
                run_repeatedly("alert delivery", self._deliver, while_=self._has_more)
            )

    async def close(self) -> None:
        """Stop after the call that is under way."""
        self._closing.set()
        if self._task is not None:
            await self._task

    async def _deliver(self) -> None:
        retry_seconds = FIRST_RETRY_SECONDS
        while self._has_more():
            await wait_for_event(self._closing, self._pace.wait_seconds())
            if not self._pending or self._closing.is_set():
                return
            if await self._post(self._pending[0]):
                retry_seconds = FIRST_RETRY_SECONDS
            else:
                await wait_for_event(self._closing, retry_seconds)
                retry_seconds = min(2 * retry_seconds, MAX_RETRY_SECONDS)

    def _has_more(self) -> bool:
        return bool(self._pending) and not self._closing.is_set()

    async def _post(self, alert: Alert) -> bool:
        if trouble := await self._endpoint.post(alert_payload(alert)):
            log.warning("alert_not_delivered", alert=alert.text, detail=trouble)
            count(ALERTS, alert.event, "failed")
            return False
        log.info("alert_delivered", alert=alert.text)
        count(ALERTS, alert.event, "delivered")
        if alert in self._pending:  # else the lease went to another process meanwhile
            self._pending.remove(alert)
        await self._keep()
        return True


class _Pace:
    """At most one call a second, and a burst of a few."""

    def __init__(self) -> None:
        self._clock = asyncio.get_running_loop().time
        self._due = self._clock()

    def wait_seconds(self) -> float:
        """Take a turn; tell how long to wait for it."""
        now = self._clock()
        self._due = max(self._due, now) + 1
        return max(0.0, self._due - now - BURST)
