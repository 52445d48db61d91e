"""Asking an exchange again where the stamp of its answer is far from what our clocks let expect."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from app.core.clocks import ExtrapolatedClock, boottime_us
from app.core.errors import TimestampRefused
from app.domain.prices import Quote
from app.domain.timestamp_checks import ClockReadings, ExchangeClock, agree


@dataclass(frozen=True, slots=True)
class StampVerifier:
    """Compares stamps with the exchange's supposed present, the database's clock and this host's.

    Where no stored stamp tells of the present, it is None.
    """

    clock: ExchangeClock
    present: ExtrapolatedClock | None
    database: ExtrapolatedClock
    interval_seconds: int

    async def ask(self, ask: Callable[[], Awaitable[Quote]]) -> Quote:
        """Ask for a quote whose stamp can be believed, twice where the first one is doubtful.

        Raises:
            TimestampRefused: two answers contradict one another, or our clocks.
            ExchangeError: no usable answer.
        """
        quote = await ask()
        if self._is_doubtful(quote):
            first_us, carried_on = quote.observed_us, ExtrapolatedClock(quote.observed_us)
            quote = await ask()
            if self._is_doubtful(quote):
                if not agree(quote.observed_us, carried_on.now_us()):
                    raise TimestampRefused(f"stamped {first_us} µs, then {quote.observed_us} µs")
                self._require_credible(quote)
        self.clock.believe(quote.observed_us, self._bearings())
        return quote

    def _is_doubtful(self, quote: Quote) -> bool:
        return self.clock.is_doubtful(quote.observed_us, self._bearings(), self.interval_seconds)

    def _require_credible(self, quote: Quote) -> None:
        if not self.clock.is_credible(quote.observed_us, self._bearings(), self.interval_seconds):
            raise TimestampRefused(f"its clock jumped to {quote.observed_us} µs, and ours did not")

    def _bearings(self) -> ClockReadings:
        exchange_now_us = None if self.present is None else self.present.now_us()
        return ClockReadings(exchange_now_us, self.database.now_us(), boottime_us())
