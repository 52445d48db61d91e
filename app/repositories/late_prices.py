"""Live prices in the database: stored as live while their slot is open, and as backfill after.

docs/coverage.md describes the rule. It is applied at the end of a transaction, after all statements
that may wait.
"""

from collections.abc import Collection
from typing import NamedTuple, Self

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.clocks import ExtrapolatedClock
from app.core.metrics import LATENESS_SECONDS, PRICES_LATE, ROWS_STORED, count, observe
from app.domain.gaps import max_commit_seconds, seconds_until_late
from app.domain.prices import Price, Source
from app.domain.slots import MICROSECONDS
from app.repositories import prices
from app.repositories.creation_times import MAX_PAUSE_SECONDS
from app.repositories.prices import PriceId

log = structlog.get_logger(__name__)


class ObservedPrice(NamedTuple):
    """A price that was just observed, and the exchange's clock, extrapolated since."""

    price: Price
    exchange_clock: ExtrapolatedClock

    @classmethod
    def with_better_clock(
        cls, price: Price, expected: ExtrapolatedClock | None, interval_seconds: int
    ) -> Self:
        """Pair a price that was received just now with the better estimate of the exchange's clock.

        The answer may have been slow, so the expected clock wins where it is ahead by up to half an
        interval, the longest that a request may take. If it is further ahead, the exchange's clock
        was set.
        """
        behind_us = expected.now_us() - price.observed_us if expected else 0
        if expected and 0 < behind_us <= interval_seconds * MICROSECONDS // 2:
            return cls(price, ExtrapolatedClock(expected.now_us()))
        return cls(price, ExtrapolatedClock(price.observed_us))

    @property
    def id(self) -> PriceId:
        """Return what identifies its row."""
        return PriceId(self.price.key, self.price.slot)

    def seconds_until_late(self, interval_seconds: int, stalled_us: int) -> float:
        """Return for how long it may be stored as live, if this host stood still for a while."""
        exchange_now_us = self.exchange_clock.now_us() + stalled_us
        return seconds_until_late(self.price.slot, interval_seconds, exchange_now_us)

    def seconds_since_slot(self) -> float:
        """Return how long ago its slot began, by the exchange's clock."""
        return self.exchange_clock.now_us() / MICROSECONDS - self.price.slot


async def mark_late_as_backfill(
    session: AsyncSession,
    stored: Collection[ObservedPrice],
    interval_seconds: int,
    database_clock: ExtrapolatedClock,
) -> set[PriceId]:
    """Mark rows of this transaction that came too late as backfill, and return their ids.

    This must be the last call of a transaction: rows that are live then are committed in time, or
    rolled back. If the database's clock is ahead of `database_clock`, this host stood still.
    """
    late: set[PriceId] = set()
    while in_time := [price for price in stored if price.id not in late]:
        spare = min(price.seconds_until_late(interval_seconds, 0) for price in in_time)
        timeout = max(0, spare) + max_commit_seconds(interval_seconds) / 2
        timeout = min(timeout, MAX_PAUSE_SECONDS)  # or `created_at` would be too early
        now_us = await prices.set_idle_timeout(session, timeout)
        stalled_us = max(0, now_us - database_clock.now_us())
        newly_late = {
            price.id
            for price in in_time
            if price.seconds_until_late(interval_seconds, stalled_us) <= 0
        }
        if not newly_late:
            break
        await prices.mark_as_backfill(session, newly_late)  # which may wait, too
        late |= newly_late
    return late


def count_stored(stored: Collection[ObservedPrice], late: Collection[PriceId]) -> None:
    """Count committed rows in the metrics by their source, and observe how late live ones are."""
    count(ROWS_STORED, Source.LIVE, amount=len(stored) - len(late))
    for price in stored:
        if price.id not in late:
            observe(LATENESS_SECONDS, price.seconds_since_slot(), price.price.key.exchange)
    if late:
        count(ROWS_STORED, Source.BACKFILL, amount=len(late))
        count(PRICES_LATE, amount=len(late))
        log.warning("prices_late", tickers=[key.ticker for key, _ in late])
