"""Queries of candles: open, high, low and close in intervals aligned to UTC days and weeks."""

from dataclasses import dataclass, replace
from enum import StrEnum

from app.domain.gaps import last_due_slot
from app.domain.prices import TickerKey, TimeRange
from app.domain.slots import SECONDS_PER_DAY, Slot, slot_after
from app.domain.times import SECONDS_OF_UNIT

FIRST_MONDAY = -3 * SECONDS_PER_DAY
"""The start of the Monday before the epoch, which was a Thursday."""


class CandleInterval(StrEnum):
    """The length of a candle; one starts at every multiple of its length after `origin`."""

    ONE_MINUTE = "1m"
    FIVE_MINUTES = "5m"
    FIFTEEN_MINUTES = "15m"
    THIRTY_MINUTES = "30m"
    ONE_HOUR = "1h"
    FOUR_HOURS = "4h"
    ONE_DAY = "1d"
    ONE_WEEK = "1w"

    @property
    def seconds(self) -> int:
        """Return its length."""
        return int(self.value[:-1]) * SECONDS_OF_UNIT[self.value[-1]]

    @property
    def origin(self) -> int:
        """Return the start of the candle that contains the epoch; weeks start on Monday, UTC."""
        return FIRST_MONDAY if self is CandleInterval.ONE_WEEK else 0


class Fill(StrEnum):
    """What fills an interval without prices: no candle, the previous close, or nulls."""

    NONE = "none"
    PREVIOUS = "previous"
    NULL = "null"


@dataclass(frozen=True, slots=True)
class CandleQuery:
    """A query of at most `limit` candles of a ticker that start within a range, oldest first.

    A page holds the first ones of the range; `read_last` takes the last ones. Gaps longer than
    `max_gap_seconds` are not filled. With `as_of_us`, only rows count that were stored by then.
    """

    key: TickerKey
    interval: CandleInterval
    time_range: TimeRange
    fill: Fill
    limit: int
    max_gap_seconds: int | None = None
    as_of_us: int | None = None

    @property
    def first_start(self) -> int:
        """Return the first start within the range."""
        width, origin = self.interval.seconds, self.interval.origin
        start, _ = self.time_range.bounds()
        return -(-max(0, start - origin) // width) * width + origin

    @property
    def first_start_after_range(self) -> int:
        """Return the first start after the range."""
        width, origin = self.interval.seconds, self.interval.origin
        _, end = self.time_range.bounds()
        return (end - origin) // width * width + width + origin

    def after(self, start: int) -> "CandleQuery":
        """Return the query of what follows the candle with this start."""
        earliest, _ = self.time_range.bounds()
        return replace(self, time_range=TimeRange(max(earliest, start + 1), self.time_range.end))


@dataclass(frozen=True, slots=True)
class CandleColumns:
    """Candles as columns, oldest first: the values of each one as JSON, separated by commas.

    Where there are none, `last_start_before` is the start of the last candle before the range.
    """

    starts: str
    opens: str
    highs: str
    lows: str
    closes: str
    count: int
    last_start_before: int | None


def first_open_slot(exchange_now_us: int, interval_seconds: int) -> Slot:
    """Return the first slot that may still get a live price; candles that end by it are closed."""
    return slot_after(last_due_slot(exchange_now_us, interval_seconds), interval_seconds)
