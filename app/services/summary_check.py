"""The hourly check of a sample of the summaries: the newest ones, and older ones at random."""

import asyncio
from collections.abc import Collection
from random import Random
from typing import TypeVar

import structlog
from redis.asyncio import Redis

from app.domain.alerts import AlertState
from app.domain.freshness import CheckedHours
from app.domain.prices import TickerKey
from app.domain.slots import SECONDS_PER_HOUR
from app.postgres.database import Database
from app.redis.alert_lease import AlertLease
from app.redis.summary_checks import SummaryCheckStore
from app.repositories import prices, summaries

CHUNK_SECONDS = 7 * 24 * SECONDS_PER_HOUR
BUDGET_SECONDS = 2.0
"""Nothing further is begun after that, for a worker may have a single process."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


class SummaryCheck:
    """Checks again what is known as wrong, and then two chunks of each ticker."""

    def __init__(self, database: Database, redis: "Redis") -> None:
        self._database = database
        self._checks = SummaryCheckStore(redis)
        self._alert_lease = AlertLease(redis)
        self._random = Random()  # noqa: S311  # no secret

    async def run(self) -> int:
        """Check a sample of the record; give how many wrong hours are known now.

        Half the time at most goes to what is known as wrong, so that the rest gets its turn too.

        Raises:
            DatabaseUnavailable, BrokerUnavailable: a server does not answer.
        """
        now = asyncio.get_running_loop().time
        half, end = (now() + part * BUDGET_SECONDS for part in (0.5, 1.0))
        async with self._database.read() as session:
            names = set(map(str, await prices.stored_tickers(session)))
        known = await self._known(names)
        wrong = [(name, start) for name, found in known.items() for start in found]
        for name, start in self._shuffled(wrong):
            await self._check(name, [start], known)
            if now() >= half:
                break
        for name in self._shuffled(names):
            await self._check(name, await self._chosen(name), known)
            if now() >= end:
                break  # chance decides who is next
        return sum(sum(found.values()) for found in known.values())

    async def _known(self, names: set[str]) -> dict[str, CheckedHours]:
        """Read what is wrong as far as it is known, and forget the tickers that are gone.

        Redis may have lost what was found, so what the alerts told counts too.
        """
        checked = await self._checks.read()
        known = {name: _wrong_of(found) for name, found in checked.items()}
        told = AlertState.load(await self._alert_lease.read_state() or AlertState().dump())
        for name, parts in told.wrong_parts.items():
            known[name] = {**dict.fromkeys(parts, 1), **known.get(name, {})}
        for name in known.keys() - names:
            if not known[name]:
                await self._checks.delete(name)
        return known

    async def _check(
        self, name: str, chunks: Collection[int], known: dict[str, CheckedHours]
    ) -> None:
        """Check chunks of a ticker, and keep what was found beside what is known."""
        async with self._database.read() as session:
            found = {
                start: await summaries.count_wrong(
                    session, _key(name), start, start + CHUNK_SECONDS
                )
                for start in chunks
            }
        for start, wrong in _wrong_of(found).items():
            end = start + CHUNK_SECONDS
            log.error("summaries_wrong", ticker=name, start=start, end=end, hours=wrong)
        known[name] = {**known.get(name, {}), **found}
        await self._checks.save(name, known[name])

    async def _chosen(self, name: str) -> Collection[int]:
        """Choose the newest chunk of a ticker and any other; give their starts."""
        async with self._database.read() as session:
            extent = await summaries.stored_range(session, _key(name))
        if extent.start is None or extent.end is None:
            return []
        first, last = (moment // CHUNK_SECONDS for moment in (extent.start, extent.end))
        return {part * CHUNK_SECONDS for part in (last, self._random.randint(first, last))}

    def _shuffled(self, items: Collection[T]) -> list[T]:
        return self._random.sample(list(items), len(items))


def _wrong_of(found: CheckedHours) -> CheckedHours:
    return {start: wrong for start, wrong in found.items() if wrong}


def _key(name: str) -> TickerKey:
    exchange, _, ticker = name.partition(":")
    return TickerKey(exchange, ticker)
