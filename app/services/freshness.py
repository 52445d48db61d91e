"""Freshness: how far each configured ticker is behind the exchange's present."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.db.session import Database
from app.domain.prices import TickerKey
from app.domain.slots import MICROSECONDS, STALE_AFTER_INTERVALS, LiveEdge
from app.repositories import prices


@dataclass(frozen=True, slots=True)
class Freshness:
    """The age of a ticker's newest live slot in seconds, None while there is none."""

    key: TickerKey
    age_seconds: int | None
    is_fresh: bool


class FreshnessWatch:
    """Watches the configured tickers; a process has one."""

    def __init__(
        self, database: Database, keys: Sequence[TickerKey], interval_seconds: int
    ) -> None:
        self._database = database
        self._keys = keys
        self._limit_seconds = STALE_AFTER_INTERVALS * interval_seconds

    async def look(self) -> list[Freshness]:
        """Tell of every ticker how old its newest live price is, by the exchange's clock.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        async with self._database.read() as session:
            database_us, edges = await prices.live_edges(session, self._keys)
        return [self._judge(key, edges.get(key), database_us) for key in self._keys]

    def _judge(self, key: TickerKey, edge: LiveEdge | None, database_us: int) -> Freshness:
        if edge is None:
            return Freshness(key, None, is_fresh=False)
        estimate_us = edge.present_us(database_us)
        present_us = database_us if estimate_us is None else estimate_us
        age = max(0, present_us // MICROSECONDS - edge.slot)
        return Freshness(key, age, is_fresh=age <= self._limit_seconds)
