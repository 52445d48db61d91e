"""The hourly check of a sample of the summaries: the newest ones, and older ones at random."""

import asyncio
from collections.abc import Iterator
from random import Random

import structlog
from redis.asyncio import Redis

from app.db.session import Database
from app.db.wrong_hours import Found, WrongHours
from app.domain.prices import Span, TickerKey
from app.repositories import prices, summaries
from app.repositories.summaries import HOUR_SECONDS

CHUNK_SECONDS = 7 * 24 * HOUR_SECONDS
BUDGET_SECONDS = 2.0
"""No further ticker is begun after that, for a worker may have a single process."""

log = structlog.get_logger(__name__)


class SummaryCheck:
    """Compares two chunks of each ticker with its rows, and all that were wrong before."""

    def __init__(self, database: Database, redis: "Redis") -> None:
        self._database = database
        self._wrong_hours = WrongHours(redis)
        self._random = Random()  # noqa: S311  # no secret

    async def run(self) -> int:
        """Check a sample of the record; give how many wrong hours are known now.

        Raises:
            DatabaseUnavailable, BrokerUnavailable: a server does not answer.
        """
        known, now = await self._wrong_hours.read(), asyncio.get_running_loop().time
        async with self._database.read() as session:
            keys = sorted(await prices.keys(session) | set(map(_key, known)))
        self._random.shuffle(keys)
        until = now() + BUDGET_SECONDS
        for key in keys:
            known[str(key)] = await self._check(key, known.get(str(key), {}))
            if now() >= until:
                break  # chance decides who is next
        return sum(sum(found.values()) for found in known.values())

    async def _check(self, key: TickerKey, known: Found) -> Found:
        async with self._database.read() as session:
            extent = await summaries.extent(session, key)
            chunks = sorted({*known, *self._chosen(extent)})
            counts = [
                await summaries.count_wrong(session, key, start, start + CHUNK_SECONDS)
                for start in chunks
            ]
        found = {start: wrong for start, wrong in zip(chunks, counts, strict=True) if wrong}
        for start, wrong in found.items():
            end = start + CHUNK_SECONDS
            log.error("summaries_wrong", ticker=str(key), start=start, end=end, hours=wrong)
        await self._wrong_hours.keep(str(key), found)
        return found

    def _chosen(self, extent: Span) -> Iterator[int]:
        """Choose the newest chunk and any other; give their starts."""
        if extent.start is not None and extent.end is not None:
            first, last = (moment // CHUNK_SECONDS for moment in (extent.start, extent.end))
            yield last * CHUNK_SECONDS
            yield self._random.randint(first, last) * CHUNK_SECONDS


def _key(name: str) -> TickerKey:
    exchange, _, ticker = name.partition(":")
    return TickerKey(exchange, ticker)
