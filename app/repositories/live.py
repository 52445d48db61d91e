"""Live prices in the database: as such while their slot is not declared due, then as backfill.

docs/coverage.md tells the rule; it is decided after everything that may wait.
"""

from collections.abc import Collection
from typing import NamedTuple

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.clocks import ExtrapolatedClock
from app.core.metrics import PRICES_LATE, ROWS_STORED, count
from app.domain.gaps import commit_seconds, seconds_to_store
from app.domain.prices import Price, Source
from app.domain.slots import MICROSECONDS
from app.repositories import prices
from app.repositories.prices import PriceId

log = structlog.get_logger(__name__)


class Sample(NamedTuple):
    """A price that was observed a moment ago, and the exchange's present, carried on since."""

    price: Price
    present: ExtrapolatedClock

    @property
    def id(self) -> PriceId:
        """Give what makes its row unique."""
        return PriceId(self.price.key, self.price.slot)


def observe(price: Price, supposed: ExtrapolatedClock | None, interval_seconds: int) -> Sample:
    """Note a price that came just now; its answer may have taken its time.

    Up to half an interval the supposed present is taken for the better one, for an answer takes no
    longer; beyond, the exchange's clock was set.
    """
    behind_us = supposed.now_us() - price.observed_us if supposed else 0
    if supposed and 0 < behind_us <= interval_seconds * MICROSECONDS // 2:
        return Sample(price, ExtrapolatedClock(supposed.now_us()))
    return Sample(price, ExtrapolatedClock(price.observed_us))


async def demote_late(
    session: AsyncSession,
    stored: Collection[Sample],
    interval_seconds: int,
    database: ExtrapolatedClock,
) -> set[PriceId]:
    """Let rows of this transaction that came too late count as backfill; give those.

    To be called last: what is live then is committed in time, or rolled back. `database` is the
    database's clock, carried on; if the clock itself is ahead of that, this host stood still.
    """
    late: set[PriceId] = set()
    while in_time := [sample for sample in stored if sample.id not in late]:
        spare = min(_seconds_left(sample, interval_seconds, 0) for sample in in_time)
        now_us = await prices.hurry_us(
            session, max(0, spare) + commit_seconds(interval_seconds) / 2
        )
        stood_still_us = max(0, now_us - database.now_us())
        found = {
            sample.id
            for sample in in_time
            if _seconds_left(sample, interval_seconds, stood_still_us) <= 0
        }
        if not found:
            break
        await prices.demote(session, found)  # which may wait, too
        late |= found
    return late


def count_stored(new: Collection[PriceId], late: Collection[PriceId]) -> None:
    """Count what was committed, by what it counts as."""
    count(ROWS_STORED, Source.LIVE, amount=len(new) - len(late))
    if late:
        count(ROWS_STORED, Source.BACKFILL, amount=len(late))
        count(PRICES_LATE, amount=len(late))
        log.warning("prices_late", tickers=[key.ticker for key, _ in late])


def _seconds_left(sample: Sample, interval_seconds: int, stood_still_us: int) -> float:
    present_us = sample.present.now_us() + stood_still_us
    return seconds_to_store(sample.price.slot, interval_seconds, present_us)
