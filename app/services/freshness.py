"""Freshness: the age of each configured ticker's newest price, and why it is too old."""

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

QUERY_TIMEOUT_SECONDS = 3.0

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LatestPrices:
    """The latest live price of each ticker, and the database's clock when they were read."""

    keys: Sequence[TickerKey]
    by_key: Mapping[TickerKey, LatestLivePrice]
    database_us: int

    def freshness(self, max_age_seconds: int) -> list[Freshness]:
        """Return the age of every ticker's latest live price, by the exchange's clock."""
        return [self._freshness_of(key, max_age_seconds) for key in self.keys]

    def clocks(self, now: float) -> list[Clocks]:
        """Compare the database's clock, and this server's, with that of each exchange."""
        newest: dict[str, LatestLivePrice] = {}
        for key, price in self.by_key.items():
            known = newest.get(key.exchange, price)
            newest[key.exchange] = max(price, known, key=lambda one: one.created_us)
        compared = (self._compare(exchange, price, now) for exchange, price in newest.items())
        return [clocks for clocks in compared if clocks is not None]

    def _freshness_of(self, key: TickerKey, max_age_seconds: int) -> Freshness:
        price = self.by_key.get(key)
        if price is None:
            return Freshness(key, None, is_fresh=False)
        exchange_now_us = estimate_exchange_now_us(price, self.database_us)
        age = max(0, exchange_now_us // MICROSECONDS - price.slot)
        return Freshness(key, age, is_fresh=age <= max_age_seconds)

    def _compare(self, exchange: str, price: LatestLivePrice, now: float) -> Clocks | None:
        exchange_now_us = price.exchange_now_us(self.database_us)
        if exchange_now_us is None:
            return None
        database_seconds = (price.created_us - price.observed_us) / MICROSECONDS
        return Clocks(exchange, database_seconds, now - exchange_now_us / MICROSECONDS)


class FreshnessService:
    """Checks the configured tickers; a process has one."""

    def __init__(
        self, database: Database, redis: "Redis", keys: Sequence[TickerKey], interval_seconds: int
    ) -> None:
        self._database = database
        self._redis = redis
        self._keys = keys
        self._interval_seconds = interval_seconds

    async def check(self, now: float) -> HealthReport:
        """Check every ticker, and what may be the reason if one is stale; never raise.

        `now` is this server's clock in UNIX seconds. If a server does not answer, the report says
        so.
        """
        (latest, database_trouble), (processes, broker_trouble) = await asyncio.gather(
            _with_timeout(self._read_latest()), _with_timeout(read_heartbeats(self._redis))
        )
        latest = latest or LatestPrices(self._keys, {}, 0)
        return HealthReport(
            self._interval_seconds,
            tickers=latest.freshness(STALE_AFTER_INTERVALS * self._interval_seconds),
            clocks=latest.clocks(now),
            processes=processes,
            database_trouble=database_trouble,
            broker_trouble=broker_trouble,
        )

    async def _read_latest(self) -> LatestPrices:
        async with self._database.read() as session:
            database_us, by_key = await prices.read_latest_live(session, self._keys)
        return LatestPrices(self._keys, by_key, database_us)


async def _with_timeout(query: Awaitable[T]) -> tuple[T | None, str]:
    """Return a query's result and no error text, or None and the error in words."""
    try:
        async with asyncio.timeout(QUERY_TIMEOUT_SECONDS):
            return await query, ""
    except (AppError, TimeoutError) as error:
        return None, str(error) or NO_ANSWER_IN_TIME
    except Exception as error:
        log.exception("health_query_broke")  # the health routes and the alerts must go on
        return None, f"could not be asked: {type(error).__name__}, the log tells more"
