"""The steps of a scenario: live slots are recorded, a fault happens, the service recovers."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tests.chaos.health import HealthMonitor
from tests.chaos.oracle import AuditResult, Row, SlotKey, audit, changed_live_rows
from tests.chaos.price_table import PriceTable
from tests.chaos.service import Service
from tests.chaos.simulator import TICKERS, Simulator
from tests.chaos.summary_table import SummaryRow
from tests.waiting import until

SLOTS_AFTER_RECOVERY = 1
TIMEOUT_SECONDS = 60
RECOVERY_TIMEOUT_SECONDS = 120
POLL_SECONDS = 0.5
PENDING = "pending"
NEVER_STALE = r"(?!)"
"""Matches nothing: the fault is too short for a ticker to go stale."""


class Scenario:
    """One fault in a running service, and the audit of the stored prices before and after it."""

    def __init__(
        self,
        service: Service,
        exchange: Simulator,
        interval: int,
        health: HealthMonitor,
        on_result: Callable[[SummaryRow], None],
    ) -> None:
        self._service = service
        self._prices = PriceTable(service.database_url)
        self._exchange = exchange
        self._interval = interval
        self._health = health
        self._on_result = on_result
        self._last_rows: list[Row] = []
        self._changed_rows: set[Row] = set()
        self._last_result: AuditResult | None = None
        self._fault_over_at = _clock()

    async def wait_for_live_slots(self, slots: int) -> None:
        """Wait until this many more slots of every ticker are recorded live."""
        newest = max((row.key.slot for row in await self._read_rows() if row.is_live), default=0)

        async def are_recorded() -> bool:
            live = [row.key for row in await self._read_rows() if row.is_live]
            new = [key.ticker for key in live if key.slot > newest]
            return all(new.count(ticker) >= slots for ticker in TICKERS)

        await _poll_until(are_recorded, slots * self._interval + TIMEOUT_SECONDS)

    @asynccontextmanager
    async def fault(self, *, reason: str = NEVER_STALE) -> AsyncIterator[None]:
        """Cause a fault in this context; its end is the time from which recovery is measured.

        Each reason that `/health/collector` gives meanwhile for a stale ticker must match the
        pattern `reason`.
        """
        await self._read_rows()
        async with self._health.polling():
            yield
        self._fault_over_at = _clock()
        unexpected = {given for given in self._health.reasons if not re.match(reason, given)}
        assert unexpected == set(), f"health said so, true is {reason!r}"

    async def wait_for_recovery(self) -> AuditResult:
        """Wait until every slot that the chart can still provide is stored; audit the prices."""
        seconds = None
        try:
            await _poll_until(await self._recovery_condition(), RECOVERY_TIMEOUT_SECONDS)
            seconds = _clock() - self._fault_over_at
            await self.wait_for_live_slots(SLOTS_AFTER_RECOVERY)
            await _poll_until(self._is_complete, RECOVERY_TIMEOUT_SECONDS)
        finally:
            result = self._last_result or await self.audit()
            self._on_result(SummaryRow.from_result(result, seconds))
            self._verify(result)
        await _poll_until(lambda: self._accounts_for(result), TIMEOUT_SECONDS)
        assert "says what its rows say" in await self._service.command("verify")
        return result

    async def audit(self) -> AuditResult:
        """Compare the stored prices with what the exchange has sent so far."""
        history = await self._exchange.history()  # first: what is over then, must be there
        self._last_result = audit(await self._read_rows(), history, self._interval)
        return self._last_result

    def _verify(self, result: AuditResult) -> None:
        assert self._changed_rows == set(), "live rows changed, or went away"
        assert result.duplicated == set()
        assert result.incorrect == (), "values that the exchange did not give in that slot"
        assert result.missing == set(), "the exchange could still give them"
        assert result.absent == result.unfillable

    async def _recovery_condition(self) -> Callable[[], Awaitable[bool]]:
        """Return the condition that no slot is missing and that new live prices arrive."""
        from_us = (await self._exchange.history()).now_us

        async def has_recovered() -> bool:
            new = {r.key.ticker for r in await self._read_rows() if r.is_live_after(from_us)}
            return new == set(TICKERS) and await self._is_complete()

        return has_recovered

    async def _is_complete(self) -> bool:
        return not (await self.audit()).missing

    async def _accounts_for(self, result: AuditResult) -> bool:
        """Tell whether `gaps` lists exactly the absent slots, each with a reason."""
        gaps = json.loads(await self._service.command("gaps", "--json"))
        reasons = {
            SlotKey(gap["ticker"], slot): gap["reason"]
            for gap in gaps
            for slot in range(gap["from"], gap["to"] + 1, self._interval)
        }
        due = reasons.keys() & result.expected  # what came later is not judged here
        return due == result.absent and all(reasons[key] != PENDING for key in due)

    async def _read_rows(self) -> list[Row]:
        """Read all stored rows, and remember live rows that changed since the last read."""
        if rows := await self._prices.rows():
            self._changed_rows |= changed_live_rows(self._last_rows, rows)
            self._last_rows = rows
        return rows


async def _poll_until(condition: Callable[[], Awaitable[bool]], seconds: float) -> None:
    """Wait for a condition that is expensive to check."""

    async def pause_and_check() -> bool:
        await asyncio.sleep(POLL_SECONDS)
        return await condition()

    await until(pause_and_check, seconds)


def _clock() -> float:
    return asyncio.get_running_loop().time()
