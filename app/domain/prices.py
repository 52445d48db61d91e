"""Prices: as the exchange quotes them, and as they are kept."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple, Self

from app.domain.slots import Slot, floor_slot

MAX_PRICE: Final = Decimal(10) ** 12
MAX_DECIMAL_PLACES: Final = 40


class Source(StrEnum):
    """Where a stored price came from."""

    LIVE = "live"
    BACKFILL = "backfill"
    IMPORT = "import"


class Order(StrEnum):
    """The direction in time of a list."""

    ASC = "asc"
    DESC = "desc"


class TimeRange(NamedTuple):
    """A stretch of time in UNIX seconds, both ends inclusive; None leaves an end open."""

    start: int | None = None
    end: int | None = None


UNBOUNDED = TimeRange()


class TickerKey(NamedTuple):
    """A ticker together with the exchange that quotes it."""

    exchange: str
    ticker: str

    def __str__(self) -> str:
        return f"{self.exchange}:{self.ticker}"


class Quote(NamedTuple):
    """One answer of an exchange: an exact price and the exchange's clock in microseconds."""

    key: TickerKey
    price: Decimal
    observed_us: int


class Price(NamedTuple):
    """One price in its slot, as it is kept."""

    key: TickerKey
    slot: Slot
    price: Decimal
    observed_us: int
    source: Source

    @classmethod
    def live(cls, quote: Quote, interval_seconds: int) -> Self:
        """Put a quote where the exchange's clock says that it belongs."""
        slot = floor_slot(quote.observed_us, interval_seconds)
        return cls(quote.key, slot, quote.price, quote.observed_us, Source.LIVE)


@dataclass(frozen=True, slots=True)
class TickerSummary:
    """What is stored of a ticker; first and last are slots, None while there is nothing."""

    key: TickerKey
    active: bool
    interval_seconds: int
    first: int | None
    last: int | None
    rows: int
