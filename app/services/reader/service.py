"""Reads of the record: a price, or a page of encoded rows, from the cache or from the table."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from app.core.errors import NoPriceNear, NoPriceYet, PriceTooOld, TickerNotFound
from app.domain.completeness import open_ranges
from app.domain.encoded_rows import EncodedChunk, EncodedPage
from app.domain.prices import Order, Price, TickerKey, TickerSummary, TimeRange
from app.domain.recordings import Recording
from app.domain.slots import STALE_AFTER_INTERVALS
from app.domain.times import format_utc
from app.postgres.database import Database
from app.repositories import encoded_rows, prices, recordings
from app.repositories.prices import Extent
from app.services.reader.cache import ReadCache


@dataclass(frozen=True, slots=True)
class LatestPrice:
    """The newest price, and how old its slot is by the reader's clock."""

    price: Price
    age_seconds: int
    is_stale: bool

    @classmethod
    def at(cls, price: Price, now: float, interval_seconds: int) -> Self:
        """Tell how old a price is; it is stale after two intervals."""
        age = max(0, int(now) - price.slot)
        return cls(price, age, age > STALE_AFTER_INTERVALS * interval_seconds)


class PriceReader:
    """Reads the record; a process has one."""

    def __init__(
        self,
        database: Database,
        cache: ReadCache,
        configured: Sequence[TickerKey],
        interval_seconds: int,
    ) -> None:
        self._database = database
        self._cache = cache
        self._configured = frozenset(configured)
        self._interval_seconds = interval_seconds

    async def page(self, key: TickerKey, span: TimeRange, order: Order, limit: int) -> EncodedPage:
        """Read at most `limit` prices of a span, from its start or, descending, from its end.

        Raises:
            TickerNotFound: nothing is known of the ticker.
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        page = await self._cache.page(key, span, order, limit)
        if page is not None and page.count:
            return page
        return await self._stored_page(key, span, order, limit)

    async def newest(self, key: TickerKey) -> Price | None:
        """Read the newest price; None if nothing is stored.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        return await self._cache.newest(key)

    async def _stored_page(
        self, key: TickerKey, span: TimeRange, order: Order, limit: int
    ) -> EncodedPage:
        template = self._cache.template
        async with self._database.raw_connection() as connection:
            page = await encoded_rows.read_page(
                connection, key, span, order, limit, template=template
            )
        if page.last is None:
            await self.require_known(key)
            return page
        end = page.last if page.has_more else span.end
        if order is Order.DESC or span.start is None or end is None:
            return page
        return replace(page, is_complete=await self._is_complete(key, page, span.start, end))

    async def _is_complete(self, key: TickerKey, page: EncodedPage, first: int, last: int) -> bool:
        """Tell whether no row can be added to a page that reaches from one second to another."""
        async with self._database.read() as session:
            promised = await recordings.of_ticker(session, key)
        rows = EncodedChunk(b"".join(page.pieces), page.count, page.last, self._cache.template)
        return not any(open_ranges(rows.slots(), promised, first, last))

    async def latest(
        self, key: TickerKey, now: float, max_age_seconds: int | None = None
    ) -> LatestPrice:
        """Read the newest price with its age; `now` is the caller's clock in UNIX seconds.

        Raises:
            TickerNotFound: nothing is known of the ticker.
            NoPriceYet: nothing is stored of it.
            PriceTooOld: its age exceeds the given one.
        """
        price = await self.newest(key)
        if price is None:
            await self.require_known(key)
            raise NoPriceYet(f"no price of {key} is stored yet")
        latest = LatestPrice.at(price, now, await self.interval_of(key))
        if max_age_seconds is not None and latest.age_seconds > max_age_seconds:
            raise PriceTooOld(f"the newest price of {key} is {latest.age_seconds} s old")
        return latest

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
            tolerance_seconds = STALE_AFTER_INTERVALS * await self.interval_of(key)
        if price is None or moment - price.slot > tolerance_seconds:
            await self.require_known(key)
            near = f"no price of {key} within {tolerance_seconds} s before {moment}"
            raise NoPriceNear(f"{near}; {await self._reach(key)}")
        return price

    async def _reach(self, key: TickerKey) -> str:
        """Say where what is stored of a ticker begins and ends."""
        async with self._database.read() as session:
            extent = (await prices.extents(session)).get(key, Extent())
        if extent.first is None or extent.last is None:
            return "nothing is stored of it yet"
        first, last = (f"{at} ({format_utc(at)})" for at in (extent.first, extent.last))
        return f"its prices begin at {first} and end at {last}"

    async def tickers(self) -> list[TickerSummary]:
        """Tell what is stored of every ticker that is or was recorded, or of which there is any."""
        async with self._database.read() as session:
            recorded = await recordings.newest(session)
            extents = await prices.extents(session)
        keys = sorted({*recorded, *extents, *self._configured})
        return [self._sum_up(key, recorded.get(key), extents.get(key, Extent())) for key in keys]

    async def require_known(self, key: TickerKey) -> None:
        """Make sure that a ticker is configured, recorded, or stored.

        Raises:
            TickerNotFound: nothing is known of it.
        """
        if key in self._configured:
            return
        async with self._database.read() as session:
            known = {*await recordings.newest(session), *await prices.stored_tickers(session)}
        if key not in known:
            names = ", ".join(sorted(map(str, known | self._configured)))
            raise TickerNotFound(f"no ticker {key} is known; known are {names}")

    def _sum_up(self, key: TickerKey, recording: Recording | None, extent: Extent) -> TickerSummary:
        if recording is None:
            return TickerSummary(key, key in self._configured, self._interval_seconds, *extent)
        return TickerSummary(key, recording.is_open, recording.interval_seconds, *extent)

    async def interval_of(self, key: TickerKey) -> int:
        """Tell at which interval a ticker is recorded, or was the last time."""
        if key in self._configured:
            return self._interval_seconds
        async with self._database.read() as session:
            recording = (await recordings.newest(session)).get(key)
        return recording.interval_seconds if recording else self._interval_seconds
