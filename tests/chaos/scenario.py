"""The course of a scenario: a record that grows, a fault, and the way back to a whole record."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tests.chaos.health import Health
from tests.chaos.record import Record
from tests.chaos.service import Service
from tests.chaos.standin import TICKERS, StandIn
from tests.chaos.table import Line
from tests.chaos.truth import Findings, Place, Row, changed, judge
from tests.waiting import until

AFTERMATH_SLOTS = 1
PATIENCE_SECONDS = 60
WHOLE_SECONDS = 120
LOOK_SECONDS = 0.5
PENDING = "pending"
NEVER_STALE = r"(?!)"
"""Matches nothing: the fault is too short for a ticker to go stale."""


class Scenario:
    """One fault: what the record was like before it, and what it is like afterwards."""

    def __init__(
        self,
        service: Service,
        exchange: StandIn,
        interval: int,
        health: Health,
        tell: Callable[[Line], None],
    ) -> None:
        self._service = service
        self._record = Record(service.database_url)
        self._exchange = exchange
        self._interval = interval
        self._health = health
        self._tell = tell
        self._seen: list[Row] = []
        self._changed: set[Row] = set()
        self._latest: Findings | None = None
        self._fault_over_at = _clock()

    async def go_on(self, slots: int) -> None:
        """Wait until so many slots more of every ticker are recorded live."""
        newest = max((row.place.slot for row in await self._rows() if row.is_live), default=0)

        async def recorded() -> bool:
            live = [row.place for row in await self._rows() if row.is_live]
            new = [place.ticker for place in live if place.slot > newest]
            return all(new.count(ticker) >= slots for ticker in TICKERS)

        await _until(recorded, slots * self._interval + PATIENCE_SECONDS)

    @asynccontextmanager
    async def fault(self, *, says: str = NEVER_STALE) -> AsyncIterator[None]:
        """Look at the record before a fault, and note when the fault was over.

        Each reason that health gives meanwhile for a stale ticker matches `says`, a pattern of
        what is true of this fault.
        """
        await self._rows()
        async with self._health.watched():
            yield
        self._fault_over_at = _clock()
        untrue = {reason for reason in self._health.reasons if not re.match(says, reason)}
        assert untrue == set(), f"health said so, true is {says!r}"

    async def whole(self) -> Findings:
        """Wait until nothing is missing that could be had; hold the record against the truth."""
        seconds = None
        try:
            await _until(await self._resumed(), WHOLE_SECONDS)
            seconds = _clock() - self._fault_over_at
            await self.go_on(AFTERMATH_SLOTS)
            await _until(self._is_whole, WHOLE_SECONDS)
        finally:
            findings = self._latest or await self.findings()
            self._tell(Line.of(findings, seconds))
            self._verify(findings)
        await _until(lambda: self._accounts_for(findings), PATIENCE_SECONDS)
        assert "says what its rows say" in await self._service.command("verify")
        return findings

    async def findings(self) -> Findings:
        """Hold the record as it is now against the truth."""
        evidence = await self._exchange.evidence()  # first: what is over then, must be there
        self._latest = judge(await self._rows(), evidence, self._interval)
        return self._latest

    def _verify(self, findings: Findings) -> None:
        assert self._changed == set(), "live rows changed, or went away"
        assert findings.doubled == set()
        assert findings.false == (), "values that the exchange did not give in that slot"
        assert findings.missing == set(), "the exchange could still give them"
        assert findings.absent == findings.unfillable

    async def _resumed(self) -> Callable[[], Awaitable[bool]]:
        """Give the condition that the record is whole and grows beyond this moment."""
        from_us = (await self._exchange.evidence()).now_us

        async def resumed() -> bool:
            new = {r.place.ticker for r in await self._rows() if r.is_live_after(from_us)}
            return new == set(TICKERS) and await self._is_whole()

        return resumed

    async def _is_whole(self) -> bool:
        return not (await self.findings()).missing

    async def _accounts_for(self, findings: Findings) -> bool:
        """Tell whether the service names exactly the slots that are absent, with a reason."""
        gaps = json.loads(await self._service.command("gaps", "--json"))
        reasons = {
            Place(gap["ticker"], slot): gap["reason"]
            for gap in gaps
            for slot in range(gap["from"], gap["to"] + 1, self._interval)
        }
        due = reasons.keys() & findings.expected  # what came later is not judged here
        return due == findings.absent and all(reasons[place] != PENDING for place in due)

    async def _rows(self) -> list[Row]:
        """Read the record; what is no longer what it was, is remembered."""
        if rows := await self._record.rows():
            self._changed |= changed(self._seen, rows)
            self._seen = rows
        return rows


async def _until(condition: Callable[[], Awaitable[bool]], seconds: float) -> None:
    """Wait for a condition whose look is not cheap."""

    async def unhurried() -> bool:
        await asyncio.sleep(LOOK_SECONDS)
        return await condition()

    await until(unhurried, seconds)


def _clock() -> float:
    return asyncio.get_running_loop().time()
