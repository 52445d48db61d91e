"""The loops that check the tickers and send alerts, in the process that holds the lease."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING

import structlog

from app.core.background_loops import run_repeatedly
from app.core.errors import BrokerUnavailable
from app.core.event_wait import wait_for_event
from app.core.metrics import ALERTS, count
from app.domain.alerts import Alert, AlertState
from app.domain.health import HealthReport, ProcessReports
from app.redis.alert_lease import AlertLease
from app.services.alerts.ticker_status_evaluator import TickerStatusEvaluator

if TYPE_CHECKING:
    from app.clients.webhook import Webhook

CHECK_PAUSE_SECONDS = 1.0
CHECKS_BEFORE_TAKEOVER = 3
"""For so many checks a free lease is left to its last holder, whose state is the newest."""
FIRST_RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 60.0
BURST_CALLS = 5

log = structlog.get_logger(__name__)


class AlertService:
    """Alerts for as long as it holds the lease; an API process has one.

    The webhook is called once a second at most, after a burst of a few calls.
    """

    def __init__(
        self,
        check: Callable[[], Awaitable[HealthReport]],
        now: Callable[[], float],
        lease: AlertLease,
        webhook: "Webhook",
    ) -> None:
        self._check = check
        self._now = now
        self._lease = lease
        self._state = AlertState()
        self._saved_state: str | None = None
        self._evaluator = TickerStatusEvaluator()
        self._webhook = webhook
        self._delivery: asyncio.Task[None] | None = None
        self._clock = asyncio.get_running_loop().time
        self._reserved_until = self._clock()
        self._is_leader = False
        self._free_checks = 0
        self._closing = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Check and alert while the block runs; a webhook call under way is completed."""
        checking = asyncio.create_task(
            run_repeatedly("alerts", self._run_once, while_=lambda: not self._closing.is_set())
        )
        try:
            yield
        finally:
            self._closing.set()
            await checking
            if self._delivery is not None:
                await self._delivery
            with suppress(BrokerUnavailable):
                await self._lease.release()

    async def _run_once(self) -> None:
        await self._renew_lease()
        if self._is_leader:
            await self._queue_alerts(await self._check())
        if self._has_alerts_to_send() and (self._delivery is None or self._delivery.done()):
            self._delivery = asyncio.create_task(
                run_repeatedly(
                    "alert delivery", self._send_until_none_pending, while_=self._has_alerts_to_send
                )
            )
        await wait_for_event(self._closing, CHECK_PAUSE_SECONDS)

    async def _renew_lease(self) -> None:
        """Learn whether this process alerts, and its state; nothing changes while Redis is away."""
        try:
            acquire_if_free = self._is_leader or self._free_checks >= CHECKS_BEFORE_TAKEOVER
            lease = await self._lease.renew(acquire_if_free=acquire_if_free)
        except BrokerUnavailable:
            return
        self._free_checks = self._free_checks + 1 if lease.is_free else 0
        if lease.alert_state is not None and not (lease.is_held and self._is_leader):
            self._state = AlertState.load(lease.alert_state)
        self._is_leader, self._saved_state = lease.is_held, lease.alert_state

    async def _queue_alerts(self, report: HealthReport) -> None:
        self._state.remove_stale_except(ticker.key for ticker in report.tickers)
        now, processes = int(self._now()), report.processes or ProcessReports()
        dropped = [
            *self._state.update_tickers(self._evaluator.evaluate(report), now),
            *self._state.update_summaries(processes.checked_hours, now),
        ]
        for alert in dropped:
            count(ALERTS, alert.event, "dropped")
        await self._save_state()

    async def _save_state(self) -> None:
        """Save the state if it changed or Redis lost it; the next check retries."""
        state = self._state.dump()
        if state != self._saved_state:
            with suppress(BrokerUnavailable):
                await self._lease.save_state(state)

    def _has_alerts_to_send(self) -> bool:
        return self._is_leader and bool(self._state.pending) and not self._closing.is_set()

    async def _send_until_none_pending(self) -> None:
        """Send the pending alerts one after the other, with retries."""
        retry_seconds = FIRST_RETRY_SECONDS
        while self._has_alerts_to_send():
            await wait_for_event(self._closing, self._reserve_call())
            if not self._has_alerts_to_send():
                return
            if await self._send(self._state.pending[0]):
                retry_seconds = FIRST_RETRY_SECONDS
            else:
                await wait_for_event(self._closing, retry_seconds)
                retry_seconds = min(2 * retry_seconds, MAX_RETRY_SECONDS)

    def _reserve_call(self) -> float:
        """Reserve a call; return how many seconds to wait before making it."""
        now = self._clock()
        self._reserved_until = max(self._reserved_until, now) + 1
        return max(0.0, self._reserved_until - now - BURST_CALLS)

    async def _send(self, alert: Alert) -> bool:
        if error := await self._webhook.post(asdict(alert)):
            log.warning("alert_not_delivered", alert=alert.text, detail=error)
            count(ALERTS, alert.event, "failed")
            return False
        log.info("alert_delivered", alert=alert.text)
        count(ALERTS, alert.event, "delivered")
        if self._is_leader and alert in self._state.pending:  # else another process took the lease
            self._state.pending.remove(alert)
        await self._save_state()
        return True
