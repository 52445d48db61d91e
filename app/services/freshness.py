"""Freshness: how far each configured ticker is behind the exchange's present, and why."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog
from redis.asyncio import Redis

from app.core.errors import AppError
from app.domain.freshness import NO_ANSWER_IN_TIME, Clocks, Freshness, HealthReport
from app.domain.prices import TickerKey
from app.domain.slots import (
    MICROSECONDS,
    STALE_AFTER_INTERVALS,
    LatestLivePrice,
    estimate_exchange_now_us,
)
from app.postgres.database import Database
from app.redis.heartbeats import read_heartbeats
from app.repositories import prices

LOOK_TIMEOUT_SECONDS = 3.0

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Edges:
    """The live row of each ticker that was stored last, and the database's clock at that moment."""

    keys: Sequence[TickerKey]
    by_key: Mapping[TickerKey, LatestLivePrice]
    database_us: int

    def judge(self, limit_seconds: int) -> list[Freshness]:
        """Tell of every ticker how old its newest live price is, by the exchange's clock."""
        return [self._judge(key, limit_seconds) for key in self.keys]

    def clocks(self, now: float) -> list[Clocks]:
        """Compare the clocks with each exchange's, by its newest live row."""
        newest: dict[str, LatestLivePrice] = {}
        for key, edge in self.by_key.items():
            known = newest.get(key.exchange, edge)
            newest[key.exchange] = max(edge, known, key=lambda one: one.created_us)
        compared = (self._compare(exchange, edge, now) for exchange, edge in newest.items())
        return [clocks for clocks in compared if clocks is not None]

    def _judge(self, key: TickerKey, limit_seconds: int) -> Freshness:
        edge = self.by_key.get(key)
        if edge is None:
            return Freshness(key, None, is_fresh=False)
        age = max(0, estimate_exchange_now_us(edge, self.database_us) // MICROSECONDS - edge.slot)
        return Freshness(key, age, is_fresh=age <= limit_seconds)

    def _compare(self, exchange: str, edge: LatestLivePrice, now: float) -> Clocks | None:
        exchange_now_us = edge.exchange_now_us(self.database_us)
        if exchange_now_us is None:
            return None
        database_seconds = (edge.created_us - edge.observed_us) / MICROSECONDS
        return Clocks(exchange, database_seconds, now - exchange_now_us / MICROSECONDS)


class FreshnessWatch:
    """Watches the configured tickers; a process has one."""

    def __init__(
        self, database: Database, redis: "Redis", keys: Sequence[TickerKey], interval_seconds: int
    ) -> None:
        self._database = database
        self._redis = redis
        self._keys = keys
        self._interval_seconds = interval_seconds

    async def look(self, now: float) -> HealthReport:
        """Look at every ticker, and at what may be the reason if one is stale.

        `now` is this server's clock, to be compared. What is away makes a trouble, not an error.
        """
        (edges, database_trouble), (signs, broker_trouble) = await asyncio.gather(
            _within_time(self._edges()), _within_time(read_heartbeats(self._redis))
        )
        edges = edges or Edges(self._keys, {}, 0)
        return HealthReport(
            self._interval_seconds,
            tickers=edges.judge(STALE_AFTER_INTERVALS * self._interval_seconds),
            clocks=edges.clocks(now),
            signs=signs,
            database_trouble=database_trouble,
            broker_trouble=broker_trouble,
        )

    async def _edges(self) -> Edges:
        async with self._database.read() as session:
            database_us, edges = await prices.read_latest_live(session, self._keys)
        return Edges(self._keys, edges, database_us)


async def _within_time(look: Awaitable[T]) -> tuple[T | None, str]:
    """Give what a look found, else in words why it found nothing."""
    try:
        async with asyncio.timeout(LOOK_TIMEOUT_SECONDS):
            return await look, ""
    except (AppError, TimeoutError) as error:
        return None, str(error) or NO_ANSWER_IN_TIME
    except Exception as error:
        log.exception("look_broke")  # who watches and who alerts must not go blind by it
        return None, f"could not be asked: {type(error).__name__}, the log tells more"
