"""The hourly check of a sample of the hourly summaries: the newest ones, and random older ones."""

import asyncio
from collections.abc import Collection
from random import Random
from typing import TypeVar

import structlog
from redis.asyncio import Redis

from app.domain.alerts import AlertState
from app.domain.health import CheckedHours
from app.domain.prices import TickerKey
from app.domain.slots import SECONDS_PER_HOUR
from app.postgres.database import Database
from app.redis.alert_lease import AlertLease
from app.redis.summary_checks import SummaryCheckStore
from app.repositories import prices, summary_comparison

CHUNK_SECONDS = 7 * 24 * SECONDS_PER_HOUR
BUDGET_SECONDS = 2.0
"""No chunk is begun after this time, because a worker may have only one process."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


class SummarySampleCheck:
    """Compares summaries with their rows: chunks that were wrong, then two of each ticker."""

    def __init__(self, database: Database, redis: "Redis") -> None:
        self._database = database
        self._checks = SummaryCheckStore(redis)
        self._alert_lease = AlertLease(redis)
        self._random = Random()  # noqa: S311  # no secret

    async def check_and_count_wrong_hours(self) -> int:
        """Check a sample; return how many hours are known to be wrong, in this sample or not.

        At most half of the time goes to chunks that are known to be wrong.

        Raises:
            DatabaseUnavailable, BrokerUnavailable: a server does not answer.
        """
        now = asyncio.get_running_loop().time
        half_time, end_time = (now() + part * BUDGET_SECONDS for part in (0.5, 1.0))
        async with self._database.read_committed() as session:
            tickers = set(map(str, await prices.stored_tickers(session)))
        known = await self._known_wrong_hours(tickers)
        wrong = [(ticker, start) for ticker, hours in known.items() for start in hours]
        for ticker, start in self._shuffled(wrong):
            await self._check(ticker, [start], known)
            if now() >= half_time:
                break
        for ticker in self._shuffled(tickers):
            await self._check(ticker, await self._pick_chunk_starts(ticker), known)
            if now() >= end_time:
                break  # the order is random, so others are checked next time
        return sum(sum(hours.values()) for hours in known.values())

    async def _known_wrong_hours(self, tickers: set[str]) -> dict[str, CheckedHours]:
        """Read the chunks that were wrong, by ticker; delete the results of tickers that are gone.

        Redis may have lost results, so the chunks that were alerted count, too.
        """
        checked = await self._checks.read()
        known = {ticker: _only_wrong(hours) for ticker, hours in checked.items()}
        alerted = AlertState.load(await self._alert_lease.read_state() or AlertState().dump())
        for ticker, starts in alerted.wrong_parts.items():
            known[ticker] = {**dict.fromkeys(starts, 1), **known.get(ticker, {})}
        for ticker in known.keys() - tickers:
            if not known[ticker]:
                await self._checks.delete(ticker)
        return known

    async def _check(
        self, ticker: str, starts: Collection[int], known: dict[str, CheckedHours]
    ) -> None:
        """Check the chunks with these starts, and save the result with the known ones."""
        key = TickerKey.parse(ticker)
        async with self._database.read_committed() as session:
            result = {
                start: await summary_comparison.count_wrong(
                    session, key, start, start + CHUNK_SECONDS
                )
                for start in starts
            }
        for start, hours in _only_wrong(result).items():
            end = start + CHUNK_SECONDS
            log.error("summaries_wrong", ticker=ticker, start=start, end=end, hours=hours)
        known[ticker] = {**known.get(ticker, {}), **result}
        await self._checks.save(ticker, known[ticker])

    async def _pick_chunk_starts(self, ticker: str) -> Collection[int]:
        """Return the starts of a ticker's newest chunk and of a random one."""
        async with self._database.read_committed() as session:
            stored = await summary_comparison.stored_range(session, TickerKey.parse(ticker))
        if stored.start is None or stored.end is None:
            return []
        first, last = stored.start // CHUNK_SECONDS, stored.end // CHUNK_SECONDS
        return {chunk * CHUNK_SECONDS for chunk in (last, self._random.randint(first, last))}

    def _shuffled(self, items: Collection[T]) -> list[T]:
        return self._random.sample(list(items), len(items))


def _only_wrong(hours: CheckedHours) -> CheckedHours:
    return {start: wrong for start, wrong in hours.items() if wrong}
