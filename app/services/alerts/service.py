"""The loop that checks the tickers and queues alerts, in the process that holds the lease."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from app.core.background import run_repeatedly
from app.core.errors import BrokerUnavailable
from app.core.event_wait import wait_for_event
from app.core.metrics import ALERTS, count
from app.domain.alerts import AlertState
from app.domain.freshness import HealthReport, ProcessStatus
from app.redis.alert_lease import AlertLease
from app.services.alerts.sender import AlertSender
from app.services.alerts.status_evaluator import StatusEvaluator

if TYPE_CHECKING:
    from app.clients.webhook import Webhook

CHECK_PAUSE_SECONDS = 1.0
CHECKS_BEFORE_TAKEOVER = 3
"""For so many checks a free lease is left to its last holder, whose state is the newest."""


class AlertService:
    """Alerts for as long as it holds the lease; an API process has one."""

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
        self._evaluator = StatusEvaluator()
        self._sender = AlertSender(webhook, self._save_state)
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
            await self._sender.close()
            with suppress(BrokerUnavailable):
                await self._lease.release()

    async def _run_once(self) -> None:
        await self._renew_lease()
        if self._is_leader:
            await self._queue_alerts(await self._check())
        self._sender.start(self._state.pending if self._is_leader else [])
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
        self._state.remove_others(ticker.key for ticker in report.tickers)
        now, processes = int(self._now()), report.processes or ProcessStatus()
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
