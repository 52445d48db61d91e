"""Prices: as an exchange quotes them, and as they are stored."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple, Self

from app.domain.slots import Slot, floor_slot

DEFAULT_EXCHANGE: Final = "deribit"
MAX_PRICE: Final = Decimal(10) ** 12
MAX_DECIMAL_PLACES: Final = 40
MIN_SECOND: Final = -(2**62)
MAX_SECOND: Final = 2**62
"""Before and after every slot, and within PostgreSQL's bigint even where something is added."""


class Source(StrEnum):
    """Where a stored price came from."""

    LIVE = "live"
    BACKFILL = "backfill"
    IMPORT = "import"


class Order(StrEnum):
    """The order of a list by time."""

    ASC = "asc"
    DESC = "desc"


class TimeRange(NamedTuple):
    """A range of time in UNIX seconds, both ends inclusive; None leaves an end open."""

    start: int | None = None
    end: int | None = None

    def bounds(self) -> tuple[int, int]:
        """Return both ends, with limits in place of open ones."""
        start = MIN_SECOND if self.start is None else self.start
        return start, MAX_SECOND if self.end is None else self.end


UNBOUNDED: Final = TimeRange()


class TickerKey(NamedTuple):
    """A ticker and the exchange that quotes it."""

    exchange: str
    ticker: str

    @classmethod
    def from_input(cls, text: str, default_exchange: str = DEFAULT_EXCHANGE) -> Self:
        """Parse a user's `exchange:ticker`, or ticker of the default exchange, in any case."""
        exchange, ticker = split_ticker(text)
        return cls(exchange or default_exchange.lower(), ticker)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse what `str` of a key returned; a stored ticker may contain colons."""
        exchange, _, ticker = text.partition(":")
        return cls(exchange, ticker)

    def __str__(self) -> str:
        return f"{self.exchange}:{self.ticker}"


def split_ticker(text: str) -> tuple[str, str]:
    """Split a user's `exchange:ticker` into lower case; the exchange is empty if left out."""
    exchange, _, ticker = text.lower().rpartition(":")
    return exchange, ticker


def names_without_common_exchange(keys: Iterable[TickerKey]) -> dict[TickerKey, str]:
    """Name tickers for a result: without the exchange where all are of the same one."""
    distinct = tuple(dict.fromkeys(keys))
    is_one_exchange = len({key.exchange for key in distinct}) == 1
    return {key: key.ticker if is_one_exchange else str(key) for key in distinct}


class Quote(NamedTuple):
    """An answer of an exchange: an exact price and the exchange's clock in microseconds."""

    key: TickerKey
    price: Decimal
    observed_us: int


class Price(NamedTuple):
    """The price of a slot, as it is stored."""

    key: TickerKey
    slot: Slot
    price: Decimal
    observed_us: int
    source: Source

    @classmethod
    def live(cls, quote: Quote, interval_seconds: int) -> Self:
        """Assign a quote to its slot by the exchange's clock."""
        slot = floor_slot(quote.observed_us, interval_seconds)
        return cls(quote.key, slot, quote.price, quote.observed_us, Source.LIVE)


@dataclass(frozen=True, slots=True)
class TickerSummary:
    """What is stored of a ticker; `first` and `last` are slots, None without any rows."""

    key: TickerKey
    active: bool
    interval_seconds: int
    first: int | None
    last: int | None
    rows: int
