"""History: what is stored, read a price or a page of columns at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.core.errors import NoPriceNear, NoPriceYet, PriceTooOld, TickerNotFound
from app.db.session import Database
from app.domain.prices import Order, Price, PriceSeries, Span, TickerKey, TickerSummary
from app.domain.recordings import Recording
from app.domain.slots import STALE_AFTER_INTERVALS
from app.repositories import prices, recordings
from app.repositories.prices import Extent


@dataclass(frozen=True, slots=True)
class PricePage:
    """Prices in the order asked for, and whether there are more beyond."""

    series: PriceSeries
    has_more: bool


@dataclass(frozen=True, slots=True)
class LatestPrice:
    """The newest price, and how old its slot is by the reader's clock."""

    price: Price
    age_seconds: int
    is_stale: bool


class History:
    """Reads the record; a process has one."""

    def __init__(
        self, database: Database, configured: Sequence[TickerKey], interval_seconds: int
    ) -> None:
        self._database = database
        self._configured = frozenset(configured)
        self._interval_seconds = interval_seconds

    async def page(self, key: TickerKey, span: Span, order: Order, limit: int) -> PricePage:
        """Read at most `limit` prices of a span.

        Raises:
            TickerNotFound: nothing is known of the ticker.
        """
        async with self._database.read() as session:
            series = await prices.between(session, key, span, order, limit + 1)
        if not series:
            await self._require_known(key)
        return PricePage(series.head(limit), has_more=len(series) > limit)

    async def latest(
        self, key: TickerKey, now: float, max_age_seconds: int | None = None
    ) -> LatestPrice:
        """Read the newest price; `now` is the reader's clock in UNIX seconds.

        Raises:
            TickerNotFound: nothing is known of the ticker.
            NoPriceYet: nothing is stored of it.
            PriceTooOld: its age exceeds the given one.
        """
        async with self._database.read() as session:
            price = await prices.newest(session, key)
        if price is None:
            await self._require_known(key)
            raise NoPriceYet(f"no price of {key} is stored yet")
        age = max(0, int(now) - price.slot)
        if max_age_seconds is not None and age > max_age_seconds:
            raise PriceTooOld(f"the newest price of {key} is {age} s old")
        interval = await self._interval_of(key)
        return LatestPrice(price, age, is_stale=age > STALE_AFTER_INTERVALS * interval)

    async def at(self, key: TickerKey, moment: int, tolerance_seconds: int | None = None) -> Price:
        """Read the newest price at or before a moment, at most the tolerance away.

        The default tolerance is two intervals.

        Raises:
            TickerNotFound: nothing is known of the ticker.
            NoPriceNear: no price lies so near.
        """
        async with self._database.read() as session:
            price = await prices.newest(session, key, at_or_before=moment)
        if tolerance_seconds is None:
            tolerance_seconds = STALE_AFTER_INTERVALS * await self._interval_of(key)
        if price is None or moment - price.slot > tolerance_seconds:
            await self._require_known(key)
            raise NoPriceNear(f"no price of {key} within {tolerance_seconds} s before {moment}")
        return price

    async def tickers(self) -> list[TickerSummary]:
        """Tell what is stored of every ticker that is or was recorded, or of which there is any."""
        async with self._database.read() as session:
            recorded = await recordings.newest(session)
            extents = await prices.extents(session)
        keys = sorted({*recorded, *extents, *self._configured})
        return [self._sum_up(key, recorded.get(key), extents.get(key, Extent())) for key in keys]

    def _sum_up(self, key: TickerKey, recording: Recording | None, extent: Extent) -> TickerSummary:
        if recording is None:
            return TickerSummary(key, key in self._configured, self._interval_seconds, *extent)
        return TickerSummary(key, recording.is_open, recording.interval_seconds, *extent)

    async def _interval_of(self, key: TickerKey) -> int:
        if key in self._configured:
            return self._interval_seconds
        async with self._database.read() as session:
            recording = (await recordings.newest(session)).get(key)
        return recording.interval_seconds if recording else self._interval_seconds

    async def _require_known(self, key: TickerKey) -> None:
        if key in self._configured:
            return
        async with self._database.read() as session:
            known = {*await recordings.newest(session), *await prices.keys(session)}
        if key not in known:
            names = ", ".join(sorted(map(str, known | self._configured)))
            raise TickerNotFound(f"no ticker {key} is known; known are {names}")
