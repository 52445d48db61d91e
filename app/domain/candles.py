"""Candles: open, high, low and close of the prices in intervals that are aligned to the epoch."""

from dataclasses import dataclass, replace
from enum import StrEnum

from app.domain.gaps import last_due_slot
from app.domain.prices import TickerKey, TimeRange
from app.domain.slots import Slot, slot_after
from app.domain.times import SECONDS_OF_UNIT


class CandleInterval(StrEnum):
    """The length of a candle; one starts at every multiple of its length since the epoch, UTC."""

    ONE_MINUTE = "1m"
    FIVE_MINUTES = "5m"
    FIFTEEN_MINUTES = "15m"
    THIRTY_MINUTES = "30m"
    ONE_HOUR = "1h"
    FOUR_HOURS = "4h"
    ONE_DAY = "1d"

    @property
    def seconds(self) -> int:
        """Return its length."""
        return int(self.value[:-1]) * SECONDS_OF_UNIT[self.value[-1]]


class Fill(StrEnum):
    """What fills an interval without prices: no candle, the previous close, or nulls."""

    NONE = "none"
    PREVIOUS = "previous"
    NULL = "null"


@dataclass(frozen=True, slots=True)
class CandleQuery:
    """A query of at most `limit` candles of a ticker that start within a range, oldest first."""

    key: TickerKey
    interval: CandleInterval
    time_range: TimeRange
    fill: Fill
    limit: int

    @property
    def first(self) -> int:
        """Return the first start within the range."""
        width = self.interval.seconds
        start, _ = self.time_range.bounds()
        return -(-max(0, start) // width) * width

    @property
    def stop(self) -> int:
        """Return the first start after the range."""
        width = self.interval.seconds
        _, end = self.time_range.bounds()
        return end // width * width + width

    def after(self, start: int) -> "CandleQuery":
        """Return the query of what follows the candle with this start."""
        earliest, _ = self.time_range.bounds()
        return replace(self, time_range=TimeRange(max(earliest, start + 1), self.time_range.end))


def first_open_slot(exchange_now_us: int, interval_seconds: int) -> Slot:
    """Return the first slot that may still get a live price; candles that end by it are closed."""
    return slot_after(last_due_slot(exchange_now_us, interval_seconds), interval_seconds)
