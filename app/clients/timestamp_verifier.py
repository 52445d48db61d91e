"""Fetching a quote again if its timestamp is far from what our clocks predict."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from app.core.clocks import ExtrapolatedClock, boottime_us
from app.core.errors import TimestampRefused
from app.domain.prices import Quote
from app.domain.timestamp_checks import ClockReadings, ExchangeClock, are_consistent


@dataclass(frozen=True, slots=True)
class TimestampVerifier:
    """Compares timestamps with the exchange's predicted clock, the database's and this host's.

    `exchange_now` is None if no stored timestamp predicts the exchange's clock.
    """

    clock: ExchangeClock
    exchange_now: ExtrapolatedClock | None
    database: ExtrapolatedClock
    interval_seconds: int

    async def fetch_verified(self, fetch: Callable[[], Awaitable[Quote]]) -> Quote:
        """Fetch a quote with a credible timestamp; if the first is doubtful, fetch a second.

        Raises:
            TimestampRefused: two answers contradict one another, or our clocks.
            ExchangeError: no usable answer.
        """
        quote = await fetch()
        if self._is_doubtful(quote):
            first_us, prediction = quote.observed_us, ExtrapolatedClock(quote.observed_us)
            quote = await fetch()
            if self._is_doubtful(quote):
                if not are_consistent(quote.observed_us, prediction.now_us()):
                    raise TimestampRefused(f"stamped {first_us} µs, then {quote.observed_us} µs")
                self._require_credible(quote)
        self.clock.accept(quote.observed_us, self._read_clocks())
        return quote

    def _is_doubtful(self, quote: Quote) -> bool:
        now = self._read_clocks()
        return self.clock.is_doubtful(quote.observed_us, now, self.interval_seconds)

    def _require_credible(self, quote: Quote) -> None:
        now = self._read_clocks()
        if not self.clock.is_credible(quote.observed_us, now, self.interval_seconds):
            raise TimestampRefused(f"its clock jumped to {quote.observed_us} µs, and ours did not")

    def _read_clocks(self) -> ClockReadings:
        exchange_now_us = None if self.exchange_now is None else self.exchange_now.now_us()
        return ClockReadings(exchange_now_us, self.database.now_us(), boottime_us())
