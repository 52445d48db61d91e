"""Freshness: the age of each configured ticker's newest price, and why it is too old."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from app.domain.health import Clocks, Freshness, HealthReport
from app.domain.prices import Quote, TickerKey
from app.domain.slots import (
    MICROSECONDS,
    STALE_AFTER_INTERVALS,
    LatestLivePrice,
    estimate_exchange_now_us,
    floor_slot,
    slot_after,
)
from app.postgres.database import Database
from app.redis.process_reports import read_process_reports
from app.repositories import prices
from app.services.health.timed_query import run_timed


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
        database, broker = await asyncio.gather(
            run_timed(self._read_latest()), run_timed(read_process_reports(self.redis))
        )
        database_us, latest_prices = database.result or (0, {})
        return HealthReport(
            self.interval_seconds,
            tickers=[
                _freshness(key, latest_prices.get(key), database_us, self.interval_seconds)
                for key in self.keys
            ],
            clocks=_compare_clocks(latest_prices, database_us, now),
            processes=broker.result,
            database_trouble=database.trouble,
            broker_trouble=broker.trouble,
            database_seconds=database.seconds,
            broker_seconds=broker.seconds,
        )

    async def compare_clocks(self, quote: Quote, now: float) -> Clocks:
        """Compare the database's clock, and this server's, with the exchange's in a new quote.

        `now` is this server's clock in UNIX seconds.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        async with self.database.read_committed() as session:
            database_us = await prices.database_now_us(session)
        ahead_seconds = (database_us - quote.observed_us) / MICROSECONDS
        return Clocks(quote.key.exchange, ahead_seconds, now - quote.observed_us / MICROSECONDS)

    async def _read_latest(self) -> tuple[int, Mapping[TickerKey, LatestLivePrice]]:
        async with self.database.read_committed() as session:
            return await prices.read_latest_live(session, self.keys)


def _freshness(
    key: TickerKey, price: LatestLivePrice | None, database_us: int, interval_seconds: int
) -> Freshness:
    """Return the age of a ticker's latest live price, by the exchange's clock."""
    if price is None:
        return Freshness(key, None, is_fresh=False)
    exchange_now_us = estimate_exchange_now_us(price, database_us)
    age = max(0, exchange_now_us // MICROSECONDS - price.slot)
    current_slot = floor_slot(exchange_now_us, interval_seconds)
    return Freshness(
        key,
        age,
        is_fresh=age <= STALE_AFTER_INTERVALS * interval_seconds,
        last_slot=price.slot,
        next_slot=max(current_slot, slot_after(price.slot, interval_seconds)),
    )


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
