"""Freshness: the age of each configured ticker's newest price, and why it is too old."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog
from redis.asyncio import Redis

from app.core.errors import AppError
from app.domain.health import NO_ANSWER_IN_TIME, Clocks, Freshness, HealthReport
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
class FreshnessService:
    """Checks the configured tickers; a process has one."""

    database: Database
    redis: "Redis"
    keys: Sequence[TickerKey]
    interval_seconds: int

    async def check(self, now: float) -> HealthReport:
        """Check every ticker, and what may be the reason if one is stale; never raise.

        `now` is this server's clock in UNIX seconds. If a server does not answer, the report says
        so.
        """
        (latest, database_trouble), (processes, broker_trouble) = await asyncio.gather(
            _with_timeout(self._read_latest()), _with_timeout(read_heartbeats(self.redis))
        )
        database_us, latest_prices = latest or (0, {})
        max_age = STALE_AFTER_INTERVALS * self.interval_seconds
        return HealthReport(
            self.interval_seconds,
            tickers=[
                _freshness(key, latest_prices.get(key), database_us, max_age) for key in self.keys
            ],
            clocks=_compare_clocks(latest_prices, database_us, now),
            processes=processes,
            database_trouble=database_trouble,
            broker_trouble=broker_trouble,
        )

    async def _read_latest(self) -> tuple[int, Mapping[TickerKey, LatestLivePrice]]:
        async with self.database.read_committed() as session:
            return await prices.read_latest_live(session, self.keys)


def _freshness(
    key: TickerKey, price: LatestLivePrice | None, database_us: int, max_age_seconds: int
) -> Freshness:
    """Return the age of a ticker's latest live price, by the exchange's clock."""
    if price is None:
        return Freshness(key, None, is_fresh=False)
    exchange_now_us = estimate_exchange_now_us(price, database_us)
    age = max(0, exchange_now_us // MICROSECONDS - price.slot)
    return Freshness(key, age, is_fresh=age <= max_age_seconds)


def _compare_clocks(
    latest_prices: Mapping[TickerKey, LatestLivePrice], database_us: int, now: float
) -> list[Clocks]:
    """Compare the database's clock, and this server's, with that of each exchange."""
    compared = []
    by_creation = sorted(latest_prices.items(), key=lambda item: item[1].created_us)
    newest = {key.exchange: price for key, price in by_creation}
    for exchange, price in sorted(newest.items()):
        exchange_now_us = price.exchange_now_us(database_us)
        if exchange_now_us is not None:
            database_seconds = (price.created_us - price.observed_us) / MICROSECONDS
            server_seconds = now - exchange_now_us / MICROSECONDS
            compared.append(Clocks(exchange, database_seconds, server_seconds))
    return compared


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
