"""Candles: open, high, low and close of the prices in each stretch of the epoch's grid."""

from dataclasses import dataclass, replace
from enum import StrEnum

from app.domain.gaps import last_due_slot
from app.domain.prices import TickerKey, TimeRange
from app.domain.slots import Slot, slot_after

FIRST_SECOND = 0
LAST_SECOND = 2**62
UNIT_SECONDS = {"m": 60, "h": 3600, "d": 86_400}


class CandleInterval(StrEnum):
    """How long a candle is; one starts at every multiple of its length since the epoch, UTC."""

    ONE_MINUTE = "1m"
    FIVE_MINUTES = "5m"
    FIFTEEN_MINUTES = "15m"
    THIRTY_MINUTES = "30m"
    ONE_HOUR = "1h"
    FOUR_HOURS = "4h"
    ONE_DAY = "1d"

    @property
    def seconds(self) -> int:
        """Tell its length."""
        return int(self.value[:-1]) * UNIT_SECONDS[self.value[-1]]


class Fill(StrEnum):
    """What stands where nothing was recorded: no candle, the close before, or nulls."""

    NONE = "none"
    PREVIOUS = "previous"
    NULL = "null"


@dataclass(frozen=True, slots=True)
class CandleQuery:
    """At most so many candles of a ticker whose starts lie in a span, oldest first."""

    key: TickerKey
    interval: CandleInterval
    span: TimeRange
    fill: Fill
    limit: int

    @property
    def first(self) -> int:
        """Give the first start that lies in the span."""
        width = self.interval.seconds
        return -(-max(self.span.start or FIRST_SECOND, FIRST_SECOND) // width) * width

    @property
    def beyond(self) -> int:
        """Give the first start that lies after the span."""
        width = self.interval.seconds
        end = LAST_SECOND if self.span.end is None else self.span.end
        return end // width * width + width

    def after(self, start: int) -> "CandleQuery":
        """Give the query of what follows the candle with this start."""
        known = FIRST_SECOND if self.span.start is None else self.span.start
        return replace(self, span=TimeRange(max(known, start + 1), self.span.end))


@dataclass(frozen=True, slots=True)
class CandlePage:
    """Candles as PostgreSQL wrote them: JSON objects, in order, with commas between them.

    `last` is the start of the last one, None without any.
    """

    items: bytes
    count: int
    last: int | None
    has_more: bool


def first_open_slot(exchange_now_us: int, interval_seconds: int) -> Slot:
    """Give the first slot that may still get its live price: candles that end by it are closed."""
    return slot_after(last_due_slot(exchange_now_us, interval_seconds), interval_seconds)
