"""Imports: what the rows of a file must be to be taken for prices."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple, Self, TypeAlias

from app.domain.gaps import last_due_slot
from app.domain.prices import DEFAULT_EXCHANGE, MAX_DECIMAL_PLACES, MAX_PRICE, TickerKey
from app.domain.recordings import Recording
from app.domain.slots import MICROSECONDS, floor_slot
from app.domain.times import parse_timestamp_us

TIMESTAMP_NAMES: Final = ("timestamp", "timestamp_unix_s", "timestamp_unix_ms", "time")
KNOWN_COLUMNS: Final = (*TIMESTAMP_NAMES, "exchange", "ticker", "price", "observed_us")
NAME: Final = re.compile(r"[a-z0-9_.\-]{1,64}")
PLAIN_SECONDS: Final = re.compile(r"[0-9]{1,7}|[0-9]{9,11}")
"""Eight digits may be a date."""
PLAIN_PRICE: Final = re.compile(r"(?![0.]*$)[0-9]{1,12}(?:\.[0-9]{1,40})?")
"""What nearly all are, and what needs no closer look: their lengths keep them in bounds."""
ANY_PRICE: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?")
MICROSECOND_STAMP: Final = re.compile(r"[0-9]{1,18}")
MAX_SHOWN_CHARACTERS: Final = 40
MAX_NUMBER_CHARACTERS: Final = 100


class BadRow(NamedTuple):
    """A row that can't be imported: its line in the file, and what is wrong with it."""

    line: int
    fault: str


class ImportProgress(NamedTuple):
    """How far a file is: the share that is done, from 0 to 1, and rows read and stored."""

    path: Path
    share: float
    read: int
    stored: int


OnProgress: TypeAlias = Callable[[ImportProgress], object]


@dataclass(slots=True)
class ImportResult:
    """What an import did: rows read, added and bad, the first of the bad, and what is promised."""

    read: int = 0
    added: int = 0
    bad: int = 0
    first_bad: list[BadRow] = field(default_factory=list)
    promised: list[Recording] = field(default_factory=list)

    @property
    def left_out(self) -> int:
        """Count the good rows whose slot was taken, by a stored row or by an earlier one."""
        return self.read - self.bad - self.added


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """How files are to be read; names are what a file without such a column is of.

    Moments are put on the grid of the interval. Bad rows end an import unless they are skipped.
    """

    exchange: str | None
    ticker: str | None
    interval_seconds: int
    skips_bad_rows: bool = False


class Latest(NamedTuple):
    """The latest moment that a row may be of, in microseconds: now, or earlier by ticker.

    The keys are as a row is staged: the exchange, a comma, the ticker.
    """

    now_us: int
    by_ticker: Mapping[str, int]

    @classmethod
    def of_recordings(
        cls,
        database_us: int,
        presents: Mapping[TickerKey, int],
        recordings: Iterable[Recording],
        interval_seconds: int,
    ) -> Self:
        """Give the end of the last due slot of every ticker that is recorded now."""
        due = {}
        for recording in recordings:
            if recording.is_open:
                step = max(interval_seconds, recording.interval_seconds)
                end = last_due_slot(presents[recording.key], step) + step
                due[",".join(recording.key)] = end * MICROSECONDS - 1
        return cls(max(database_us, *presents.values(), 0), due)

    def of(self, key: str) -> int:
        """Give the latest moment of a ticker's row."""
        return min(self.now_us, self.by_ticker.get(key, self.now_us))


@dataclass(frozen=True, slots=True)
class RowParser:
    """Where the columns of a file are, and what its rows must keep to."""

    width: int
    timestamp: int
    price: int
    exchange: int | None
    ticker: int | None
    observed: int | None
    request: ImportRequest
    latest: "Latest"

    @classmethod
    def of(cls, columns: Sequence[str], request: ImportRequest, latest: "Latest") -> Self:
        """Find the columns by their names; moments after the latest one are bad.

        Raises:
            ValueError: one is missing, or there twice.
        """
        names = [name.strip().lower() for name in columns]
        if twice := next((name for name in KNOWN_COLUMNS if names.count(name) > 1), None):
            raise ValueError(f"it has the column {twice} twice")
        at = {name: names.index(name) for name in names}
        stamp = next((at[name] for name in TIMESTAMP_NAMES if name in at), None)
        if stamp is None or "price" not in at:
            raise ValueError("the first line must name the columns `timestamp` and `price`")
        if "ticker" not in at and request.ticker is None:
            raise ValueError("it has no column `ticker`: name one with --ticker")
        return cls(
            width=len(names),
            timestamp=stamp,
            price=at["price"],
            exchange=at.get("exchange"),
            ticker=at.get("ticker"),
            observed=at.get("observed_us"),
            request=request,
            latest=latest,
        )

    def read(self, fields: Sequence[str]) -> str:
        """Give a row as it is staged: exchange, ticker, slot, moment, price, stamp.

        Raises:
            ValueError: it makes no sense.
        """
        if len(fields) != self.width:
            raise ValueError(f"has {len(fields)} columns instead of {self.width}")
        key = self._key(fields)
        moment_us = self._moment(fields[self.timestamp], key)
        slot = floor_slot(moment_us, self.request.interval_seconds)
        price = read_price(fields[self.price])
        observed = "" if self.observed is None else _stamp(fields[self.observed])
        return f"{key},{slot},{moment_us},{price},{observed}"

    def read_alike(self, rows: Sequence[Sequence[str]]) -> list[str] | None:
        """Give rows as `read` does, at a third of the cost; None if one needs a closer look.

        They are of one ticker, in plain seconds and plain digits, and tell no exchange's stamp.
        """
        if self.observed is not None or {len(fields) for fields in rows} != {self.width}:
            return None
        stamps = [fields[self.timestamp] for fields in rows]
        prices = [fields[self.price] for fields in rows]
        if not (
            all(map(PLAIN_SECONDS.fullmatch, stamps)) and all(map(PLAIN_PRICE.fullmatch, prices))
        ):
            return None
        seconds = list(map(int, stamps))
        keys = {self._own_names(fields) for fields in rows}
        if len(keys) > 1:
            return None
        try:
            key, step = self._key(rows[0]), self.request.interval_seconds
        except ValueError:
            return None
        if max(seconds) * MICROSECONDS > self.latest.of(key):
            return None
        return [
            f"{key},{second - second % step},{second * MICROSECONDS},{price},"
            for second, price in zip(seconds, prices, strict=True)
        ]

    def _own_names(self, fields: Sequence[str]) -> tuple[str | None, str | None]:
        """Give the names that a row has for its exchange and its ticker."""
        return (
            None if self.exchange is None else fields[self.exchange],
            None if self.ticker is None else fields[self.ticker],
        )

    def _key(self, fields: Sequence[str]) -> str:
        return _names(self.request.exchange, self.request.ticker, *self._own_names(fields))

    def _moment(self, text: str, key: str) -> int:
        moment_us = _moment(text)
        if moment_us < 0:
            raise ValueError(f"timestamp {_shown(text)} lies before 1970")
        if moment_us > self.latest.now_us:
            raise ValueError(f"timestamp {_shown(text)} lies in the future")
        if moment_us > self.latest.of(key):
            raise ValueError(
                f"timestamp {_shown(text)} lies after the last slot that is due: "
                "its live price may still come"
            )
        return moment_us


def read_price(text: str) -> str:
    """Give a price with the digits that it has, without an exponent.

    Raises:
        ValueError: it is no number above 0 and up to 10^12, or has too many decimals.
    """
    if PLAIN_PRICE.fullmatch(text):
        return text
    words = text.strip()
    if len(words) > MAX_NUMBER_CHARACTERS or not ANY_PRICE.fullmatch(words):
        raise ValueError(f"price {_shown(text)} is no number")
    price = Decimal(words)
    if not 0 < price <= MAX_PRICE:
        raise ValueError(f"price {_shown(text)} is not above 0 and up to 10^12")
    exponent = price.as_tuple().exponent
    if isinstance(exponent, int) and -exponent > MAX_DECIMAL_PLACES:
        raise ValueError(f"price {_shown(text)} has over {MAX_DECIMAL_PLACES} decimals")
    return f"{price:f}"


def _moment(text: str) -> int:
    if PLAIN_SECONDS.fullmatch(text):
        return int(text) * MICROSECONDS
    try:
        return parse_timestamp_us(text)
    except ValueError as error:
        raise ValueError(f"timestamp {_shown(text)} {error}") from None


@lru_cache(maxsize=1024)
def _names(
    wanted_exchange: str | None,
    wanted_ticker: str | None,
    exchange: str | None,
    ticker: str | None,
) -> str:
    """Settle the exchange and the ticker of a row: its own, or else the wanted ones."""
    own = _agreed("exchange", exchange, wanted_exchange) or DEFAULT_EXCHANGE
    return f"{own},{_agreed('ticker', ticker, wanted_ticker)}"


def _agreed(column: str, own: str | None, wanted: str | None) -> str | None:
    if own is None:
        return wanted
    name = own.strip().lower()
    if not NAME.fullmatch(name):
        raise ValueError(f"{column} {_shown(own)} is no name")
    if wanted is not None and name != wanted:
        raise ValueError(f"{column} {_shown(own)} is not {wanted}")
    return name


def _stamp(text: str) -> str:
    if text and not MICROSECOND_STAMP.fullmatch(text):
        raise ValueError(f"observed_us {_shown(text)} is no whole number of microseconds")
    return text


def _shown(text: str) -> str:
    return repr(text[:MAX_SHOWN_CHARACTERS])
