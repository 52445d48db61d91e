"""Reads of prices and of pages of encoded rows, from the cache or from the table."""

from dataclasses import dataclass, replace
from typing import Self

from app.core.errors import NoPriceNear, NoPriceYet, PriceTooOld, TickerNotFound
from app.domain.as_of import format_exactly
from app.domain.candle_queries import CandleColumns, CandleQuery, first_open_slot
from app.domain.encoded_rows import EncodedChunk, EncodedPage
from app.domain.prices import Order, Price, TickerKey, TickerSummary, TimeRange
from app.domain.recordings import Recording
from app.domain.slots import STALE_AFTER_INTERVALS
from app.domain.symbols import UNKNOWN_PRECISION, Precision
from app.domain.times import format_utc
from app.domain.writable_ranges import writable_ranges
from app.postgres.database import Database
from app.repositories import candles, creation_times, encoded_rows, prices, recordings
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
        """Return a price with its age; it is stale after two intervals."""
        age = max(0, int(now) - price.slot)
        return cls(price, age, age > STALE_AFTER_INTERVALS * interval_seconds)


@dataclass(frozen=True, slots=True)
class PriceReader:
    """Reads stored prices; a process has one."""

    database: Database
    cache: ReadCache
    configured: frozenset[TickerKey]
    default_interval_seconds: int

    async def read_page(
        self,
        key: TickerKey,
        time_range: TimeRange,
        order: Order,
        limit: int,
        *,
        as_of_us: int | None = None,
    ) -> EncodedPage:
        """Read at most `limit` prices of a range, from its start or, descending, from its end.

        With `as_of_us`, only those that were stored by that moment.

        Raises:
            TickerNotFound: nothing is known of the ticker.
            ParametersInvalid: `as_of_us` is still to come.
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        page = await self.cache.read_page(key, time_range, order, limit, as_of_us=as_of_us)
        if page is not None and page.count:
            return page
        if not self.cache.covers(as_of_us):
            async with self.database.read_committed() as session:
                await creation_times.refuse_future(session, as_of_us)
        return await self._stored_page(key, time_range, order, limit, as_of_us=as_of_us)

    def cached_newest(self, key: TickerKey) -> Price | None:
        """Return the newest price if it is cached and fresh."""
        return self.cache.cached_newest(key)

    async def read_newest(self, key: TickerKey) -> Price | None:
        """Read the newest price; None if nothing is stored.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        return await self.cache.read_newest(key)

    async def _stored_page(
        self,
        key: TickerKey,
        time_range: TimeRange,
        order: Order,
        limit: int,
        *,
        as_of_us: int | None,
    ) -> EncodedPage:
        template = self.cache.template
        async with self.database.raw_connection() as connection:
            page = await encoded_rows.read_page(
                connection, key, time_range, order, limit, template=template, as_of_us=as_of_us
            )
        if page.last is None:
            await self.require_known_ticker(key)
        if page.last is None or as_of_us is not None:
            return page
        end = page.last if page.has_more else time_range.end
        if order is Order.DESC or time_range.start is None or end is None:
            return page
        return replace(page, is_complete=await self._is_complete(key, page, time_range.start, end))

    async def _is_complete(self, key: TickerKey, page: EncodedPage, first: int, last: int) -> bool:
        """Return whether no row can be added to a page of the seconds from `first` to `last`."""
        async with self.database.read_committed() as session:
            recorded = await recordings.of_ticker(session, key)
        rows = EncodedChunk(b"".join(page.pieces), page.count, page.last, self.cache.template)
        return not any(writable_ranges(rows.slots(), recorded, first, last))

    async def read_latest(
        self, key: TickerKey, now: float, max_age_seconds: int | None = None
    ) -> LatestPrice:
        """Read the newest price with its age; `now` is the caller's clock in UNIX seconds.

        Raises:
            TickerNotFound: nothing is known of the ticker.
            NoPriceYet: nothing is stored of it.
            PriceTooOld: its age exceeds the given one.
        """
        price = await self.read_newest(key)
        if price is None:
            await self.require_known_ticker(key)
            raise NoPriceYet(f"no price of {key} is stored yet")
        latest = LatestPrice.at(price, now, await self.interval_seconds(key))
        if max_age_seconds is not None and latest.age_seconds > max_age_seconds:
            raise PriceTooOld(f"the newest price of {key} is {latest.age_seconds} s old")
        return latest

    async def read_at(
        self,
        key: TickerKey,
        timestamp: int,
        tolerance_seconds: int | None = None,
        as_of_us: int | None = None,
    ) -> Price:
        """Read the newest price at or before a timestamp (UNIX seconds) within the tolerance.

        The default tolerance is two intervals. With `as_of_us`, only a price that was stored by
        that moment is read.

        Raises:
            TickerNotFound: nothing is known of the ticker.
            NoPriceNear: no price lies so near.
            ParametersInvalid: `as_of_us` is still to come.
        """
        if tolerance_seconds is None:
            tolerance_seconds = STALE_AFTER_INTERVALS * await self.interval_seconds(key)
        near = TimeRange(timestamp - tolerance_seconds, timestamp)
        async with self.database.read_committed() as session:
            await creation_times.refuse_future(session, as_of_us)
            if as_of_us is None:
                price = await prices.newest(session, key, at_or_before=timestamp)
            else:
                price = await prices.newest_known(session, key, near, as_of_us)
        if price is None or timestamp - price.slot > tolerance_seconds:
            await self.require_known_ticker(key)
            known = "" if as_of_us is None else f" was known at {format_exactly(as_of_us)}"
            nothing = f"no price of {key} within {tolerance_seconds} s before {timestamp}{known}"
            raise NoPriceNear(f"{nothing}; {await self._describe_range(key)}")
        return price

    async def read_candles(self, query: CandleQuery) -> EncodedPage:
        """Read a page of candles.

        Raises:
            TickerNotFound: nothing is known of the ticker.
            ParametersInvalid: the query's `as_of_us` is still to come.
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        interval = await self.interval_seconds(query.key)
        async with self.database.read_committed() as session:
            await creation_times.refuse_future(session, query.as_of_us)
            # read first, so that the candles have all live prices of the slots that are closed
            exchange_now_us = await prices.estimate_exchange_now(session, [query.key])
            now_us = exchange_now_us[query.key]
            known_us = now_us if query.as_of_us is None else min(now_us, query.as_of_us)
            open_slot = first_open_slot(known_us, interval)
            page = await candles.read_page(session, query, open_slot)
        if page.last is None:
            await self.require_known_ticker(query.key)
        return page

    async def read_last_candles(self, query: CandleQuery) -> CandleColumns:
        """Read the last candles of a range, as columns.

        Raises:
            TickerNotFound: nothing is known of the ticker.
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        async with self.database.read_committed() as session:
            columns = await candles.read_last(session, query)
        if not columns.count and columns.last_start_before is None:
            await self.require_known_ticker(query.key)
        return columns

    async def read_precision(self, key: TickerKey) -> Precision:
        """Read how many digits the recent prices of a ticker have.

        Raises:
            TickerNotFound: nothing is known of the ticker.
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        async with self.database.read_committed() as session:
            precision = await prices.read_precision(session, key)
        if precision is None:
            await self.require_known_ticker(key)
        return precision or UNKNOWN_PRECISION

    async def _describe_range(self, key: TickerKey) -> str:
        """Describe the range of a ticker's stored prices."""
        async with self.database.read_committed() as session:
            extent = (await prices.extents(session)).get(key, Extent())
        if extent.first is None or extent.last is None:
            return "nothing is stored of it yet"
        first, last = (f"{at} ({format_utc(at)})" for at in (extent.first, extent.last))
        return f"its prices begin at {first} and end at {last}"

    async def list_tickers(self) -> list[TickerSummary]:
        """Sum up what is stored of every configured, recorded or stored ticker."""
        async with self.database.read_committed() as session:
            recorded = await recordings.newest(session)
            extents = await prices.extents(session)
        keys = sorted({*recorded, *extents, *self.configured})
        return [self._summarize(key, recorded.get(key), extents.get(key, Extent())) for key in keys]

    async def require_known_ticker(self, key: TickerKey) -> None:
        """Make sure that a ticker is configured, recorded, or stored.

        Raises:
            TickerNotFound: nothing is known of it.
        """
        if key in self.configured:
            return
        known = await self.known_tickers()
        if key not in known:
            names = ", ".join(sorted(map(str, known)))
            raise TickerNotFound(f"no ticker {key} is known; known are {names}")

    async def known_tickers(self) -> set[TickerKey]:
        """Return every ticker that is configured, recorded, or stored."""
        async with self.database.read_committed() as session:
            recorded, stored = (
                await recordings.newest(session),
                await prices.stored_tickers(session),
            )
        return {*self.configured, *recorded, *stored}

    def _summarize(
        self, key: TickerKey, recording: Recording | None, extent: Extent
    ) -> TickerSummary:
        if recording is None:
            is_active, interval = key in self.configured, self.default_interval_seconds
            return TickerSummary(key, is_active, interval, *extent)
        return TickerSummary(key, recording.is_open, recording.interval_seconds, *extent)

    async def interval_seconds(self, key: TickerKey) -> int:
        """Return the interval at which a ticker is recorded, or was recorded last."""
        if key in self.configured:
            return self.default_interval_seconds
        async with self.database.read_committed() as session:
            recording = (await recordings.newest(session)).get(key)
        return recording.interval_seconds if recording else self.default_interval_seconds
