"""Sending alerts to the webhook, in order, with retries and a rate limit."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import structlog

from app.core.background import run_repeatedly
from app.core.event_wait import wait_for_event
from app.core.metrics import ALERTS, count
from app.domain.alerts import Alert

if TYPE_CHECKING:
    from app.clients.webhook import Webhook

FIRST_RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 60.0
BURST_CALLS = 5

log = structlog.get_logger(__name__)


class AlertSender:
    """Sends the pending alerts one after the other, in a task that ends with the last one.

    It makes one call a second at most, after a burst of a few.
    """

    def __init__(self, webhook: "Webhook", on_sent: Callable[[], Awaitable[None]]) -> None:
        self._webhook = webhook
        self._on_sent = on_sent
        self._pending: list[Alert] = []
        self._clock = asyncio.get_running_loop().time
        self._reserved_until = self._clock()
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def start(self, pending: list[Alert]) -> None:
        """Send these alerts and no others; each is removed from the list when it is sent."""
        self._pending = pending
        if pending and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(
                run_repeatedly("alert delivery", self._send_all, while_=self._has_more)
            )

    async def close(self) -> None:
        """Stop after the call that is under way."""
        self._closing.set()
        if self._task is not None:
            await self._task

    async def _send_all(self) -> None:
        retry_seconds = FIRST_RETRY_SECONDS
        while self._has_more():
            await wait_for_event(self._closing, self._reserve_call())
            if not self._has_more():
                return
            if await self._send(self._pending[0]):
                retry_seconds = FIRST_RETRY_SECONDS
            else:
                await wait_for_event(self._closing, retry_seconds)
                retry_seconds = min(2 * retry_seconds, MAX_RETRY_SECONDS)

    def _has_more(self) -> bool:
        return bool(self._pending) and not self._closing.is_set()

    async def _send(self, alert: Alert) -> bool:
        if error := await self._webhook.post(asdict(alert)):
            log.warning("alert_not_delivered", alert=alert.text, detail=error)
            count(ALERTS, alert.event, "failed")
            return False
        log.info("alert_delivered", alert=alert.text)
        count(ALERTS, alert.event, "delivered")
        if alert in self._pending:  # else another process has taken the lease meanwhile
            self._pending.remove(alert)
        await self._on_sent()
        return True

    def _reserve_call(self) -> float:
        """Reserve a call; return how many seconds to wait before making it."""
        now = self._clock()
        self._reserved_until = max(self._reserved_until, now) + 1
        return max(0.0, self._reserved_until - now - BURST_CALLS)
