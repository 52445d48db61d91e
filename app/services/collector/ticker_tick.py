"""One ticker's part of a tick."""

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import NamedTuple

import structlog

from app.clients.base import Exchange
from app.clients.timestamp_verifier import TimestampVerifier
from app.core.batch_writer import BatchWriter
from app.core.busy_members import BusyMembers
from app.core.clocks import ExtrapolatedClock
from app.core.errors import AppError, ExchangeTimeout, TimestampRefused
from app.core.retry import Retrier
from app.domain.prices import Price, Quote, TickerKey
from app.domain.slots import LatestLivePrice, Slot, is_plausible, seconds_left, window_seconds
from app.domain.timestamp_checks import ExchangeClock
from app.repositories.late_prices import ObservedPrice

MAX_QUOTES = 6
"""Quotes that a tick may fetch per ticker: two are usual, more only when a clock jumps."""

PERMIT_MARGIN_SECONDS = 0.05
"""Time for a permit of the rate limiter, on top of the grace."""

log = structlog.get_logger(__name__)


class TickContext(NamedTuple):
    """What the tickers of one tick share."""

    interval_seconds: int
    retrier: Retrier
    grace_seconds: float
    """Time that a request has after the retrier's deadline."""
    batch_writer: BatchWriter[ObservedPrice]
    exchange_clocks: Mapping[str, ExchangeClock]
    database_clock: ExtrapolatedClock
    busy_tickers: BusyMembers

    def timeout_seconds(self) -> float:
        """Return how long a request that begins now may take: to the deadline, and some grace."""
        return max(0, self.retrier.remaining_seconds) + self.grace_seconds + PERMIT_MARGIN_SECONDS


class TickerTick:
    """Stores the due slots of one ticker; `stored` counts them, `failure` is why one is missing.

    `answer_seconds` is how long each answer of the exchange took, also to get a permit.
    """

    def __init__(self, key: TickerKey, exchange: Exchange, context: TickContext) -> None:
        self.key = key
        self.stored = 0
        self.failure: AppError | None = None
        self.has_tried_to_fetch = False
        self.answer_seconds: list[float] = []
        self._failing_since: float | None = None
        self._exchange = exchange
        self._context = context
        self._interval_seconds = context.interval_seconds

    @property
    def failing_seconds(self) -> float:
        """For how long every fetch has failed."""
        return 0 if self._failing_since is None else monotonic() - self._failing_since

    async def run(self, latest: LatestLivePrice | None) -> None:
        """Store every slot that is due after the latest live price; errors end up in `failure`."""
        try:
            await self._store_due_slots(latest)
        except AppError as error:
            self.failure = error
        except Exception:
            self.failure = AppError("a defect: the log tells more")
            log.exception("collection_broke", ticker=str(self.key))
        finally:
            self._context.batch_writer.remove_producer()
            self._context.busy_tickers.leave()

    async def _store_due_slots(self, latest: LatestLivePrice | None) -> None:
        database_us = self._context.database_clock.now_us()
        now_us = latest.exchange_now_us(database_us) if latest else None
        exchange_now = None if now_us is None else ExtrapolatedClock(now_us)
        slot = latest.slot if latest else None
        for _ in range(MAX_QUOTES):
            if (
                slot is not None
                and exchange_now is not None
                and not await self._wait_for_slot_end(slot, exchange_now)
            ):
                return
            quote = await self._fetch_verified(exchange_now)
            price = Price.live(quote, self._interval_seconds)
            sample = ObservedPrice.with_better_clock(price, exchange_now, self._interval_seconds)
            exchange_now = ExtrapolatedClock(quote.observed_us)
            self.stored += await self._context.batch_writer.add(sample)
            slot = price.slot  # may be an earlier one, if the exchange's clock was set back

    async def _wait_for_slot_end(self, slot: Slot, exchange_now: ExtrapolatedClock) -> bool:
        """Wait until a slot ends; return False, at once, if its end is left to the next tick.

        The last part of a slot is always waited for. The rest of it is waited for only while
        another ticker of the tick is busy, because the next tick would find the lock taken.
        """
        left = seconds_left(slot, self._interval_seconds, exchange_now.now_us())
        until_window = left - window_seconds(self._interval_seconds)
        if until_window > 0 and not await self._context.busy_tickers.pause(until_window):
            return False
        left = seconds_left(slot, self._interval_seconds, exchange_now.now_us())
        await asyncio.sleep(max(0, left))
        return True

    async def _fetch_verified(self, exchange_now: ExtrapolatedClock | None) -> Quote:
        """Fetch a quote whose timestamp is verified, with retries."""
        context = self._context
        clock = context.exchange_clocks[self.key.exchange]
        verifier = TimestampVerifier(
            clock, exchange_now, context.database_clock, self._interval_seconds
        )

        async def fetch() -> Quote:
            try:
                quote = await verifier.fetch_verified(self._fetch)
            except AppError:
                self._failing_since = self._failing_since or monotonic()
                raise
            self._failing_since = None
            return quote

        return await context.retrier.call(fetch, ticker=str(self.key))

    async def _fetch(self) -> Quote:
        context, self.has_tried_to_fetch, started_at = self._context, True, monotonic()
        try:
            async with asyncio.timeout(context.timeout_seconds()):
                quote = await self._exchange.fetch_index_price(self.key.ticker)
        except TimeoutError:
            raise ExchangeTimeout("no permit, or no answer, before the next tick is due") from None
        self.answer_seconds.append(monotonic() - started_at)
        if not is_plausible(quote.observed_us, context.database_clock.now_us()):
            raise TimestampRefused(f"the answer is stamped {quote.observed_us} µs since the epoch")
        return quote
