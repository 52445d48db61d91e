"""How rows of an imported file are parsed and validated."""

import re
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Final

from app.domain.imports import ImportRequest, LatestTimestamps
from app.domain.prices import DEFAULT_EXCHANGE, MAX_DECIMAL_PLACES, MAX_PRICE
from app.domain.slots import MICROSECONDS, floor_slot
from app.domain.times import parse_timestamp_us

TIMESTAMP_NAMES: Final = ("timestamp", "timestamp_unix_s", "timestamp_unix_ms", "time")
KNOWN_COLUMNS: Final = (*TIMESTAMP_NAMES, "exchange", "ticker", "price", "observed_us")
NAME: Final = re.compile(r"[a-z0-9_.\-]{1,64}")
PLAIN_SECONDS: Final = re.compile(r"[0-9]{1,7}|[0-9]{9,11}")
"""Eight digits may be a date."""
PLAIN_PRICE: Final = re.compile(r"(?![0.]*$)[0-9]{1,12}(?:\.[0-9]{1,40})?")
"""The format of nearly all prices; its lengths keep them within the limits."""
ANY_PRICE: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?")
PLAIN_MICROSECONDS: Final = re.compile(r"[0-9]{1,18}")
MAX_SHOWN_CHARACTERS: Final = 40
MAX_NUMBER_CHARACTERS: Final = 100


class RowParser:
    """Parses the rows of a file, whose columns it finds by their names."""

    def __init__(
        self, columns: Sequence[str], request: ImportRequest, latest: LatestTimestamps
    ) -> None:
        """Find the columns; rows after the latest timestamp are bad.

        Raises:
            ValueError: one is missing, or there twice.
        """
        names = [name.strip().lower() for name in columns]
        if twice := next((name for name in KNOWN_COLUMNS if names.count(name) > 1), None):
            raise ValueError(f"it has the column {twice} twice")
        at = {name: names.index(name) for name in names}
        timestamp = next((at[name] for name in TIMESTAMP_NAMES if name in at), None)
        if timestamp is None or "price" not in at:
            raise ValueError("the first line must name the columns `timestamp` and `price`")
        if "ticker" not in at and request.ticker is None:
            raise ValueError("it has no column `ticker`: name one with --ticker")
        self._width = len(names)
        self._timestamp, self._price = timestamp, at["price"]
        self._exchange, self._ticker = at.get("exchange"), at.get("ticker")
        self._observed = at.get("observed_us")
        self._request, self._latest = request, latest

    def read(self, fields: Sequence[str]) -> str:
        """Parse a row into a staged line: exchange, ticker, slot, timestamp, price, observed time.

        Raises:
            ValueError: it is invalid.
        """
        if len(fields) != self._width:
            raise ValueError(f"has {len(fields)} columns instead of {self._width}")
        key = self._key(fields)
        timestamp_us = self._parse_timestamp(fields[self._timestamp], key)
        slot = floor_slot(timestamp_us, self._request.interval_seconds)
        price = normalize_price(fields[self._price])
        observed = "" if self._observed is None else _validate_observed(fields[self._observed])
        return f"{key},{slot},{timestamp_us},{price},{observed}"

    def read_plain(self, rows: Sequence[Sequence[str]]) -> list[str] | None:
        """Parse rows like `read` at a third of the cost; None if one needs full validation.

        The rows must be of one ticker, in plain seconds and digits, without observed times.
        """
        if self._observed is not None or {len(fields) for fields in rows} != {self._width}:
            return None
        timestamps = [fields[self._timestamp] for fields in rows]
        prices = [fields[self._price] for fields in rows]
        if not (
            all(map(PLAIN_SECONDS.fullmatch, timestamps))
            and all(map(PLAIN_PRICE.fullmatch, prices))
        ):
            return None
        seconds = list(map(int, timestamps))
        keys = {self._own_names(fields) for fields in rows}
        if len(keys) > 1:
            return None
        try:
            key, step = self._key(rows[0]), self._request.interval_seconds
        except ValueError:
            return None
        if max(seconds) * MICROSECONDS > self._latest.for_ticker(key):
            return None
        return [
            f"{key},{second - second % step},{second * MICROSECONDS},{price},"
            for second, price in zip(seconds, prices, strict=True)
        ]

    def _own_names(self, fields: Sequence[str]) -> tuple[str | None, str | None]:
        """Return the row's own exchange and ticker, None without such a column."""
        return (
            None if self._exchange is None else fields[self._exchange],
            None if self._ticker is None else fields[self._ticker],
        )

    def _key(self, fields: Sequence[str]) -> str:
        return _csv_key_of_row(self._request, *self._own_names(fields))

    def _parse_timestamp(self, text: str, key: str) -> int:
        try:
            timestamp_us = parse_timestamp_us(text)
        except ValueError as error:
            raise ValueError(f"timestamp {_shown(text)} {error}") from None
        if timestamp_us < 0:
            raise ValueError(f"timestamp {_shown(text)} lies before 1970")
        if timestamp_us > self._latest.now_us:
            raise ValueError(f"timestamp {_shown(text)} lies in the future")
        if timestamp_us > self._latest.for_ticker(key):
            raise ValueError(
                f"timestamp {_shown(text)} lies after the last slot that is due: "
                "its live price may still come"
            )
        return timestamp_us


def normalize_price(text: str) -> str:
    """Validate a price and return its exact digits, without an exponent.

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


@lru_cache(maxsize=1024)
def _csv_key_of_row(wanted: ImportRequest, exchange: str | None, ticker: str | None) -> str:
    """Return the exchange and ticker of a row, joined by a comma: its own, or else the wanted ones.

    Raises:
        ValueError: a name is invalid, or differs from the wanted one.
    """
    own = _own_or_requested("exchange", exchange, wanted.exchange) or DEFAULT_EXCHANGE
    return f"{own},{_own_or_requested('ticker', ticker, wanted.ticker)}"


def _own_or_requested(column: str, own: str | None, requested: str | None) -> str | None:
    if own is None:
        return requested
    name = own.strip().lower()
    if not NAME.fullmatch(name):
        raise ValueError(f"{column} {_shown(own)} is no name")
    if requested is not None and name != requested:
        raise ValueError(f"{column} {_shown(own)} is not {requested}")
    return name


def _validate_observed(text: str) -> str:
    if text and not PLAIN_MICROSECONDS.fullmatch(text):
        raise ValueError(f"observed_us {_shown(text)} is no whole number of microseconds")
    return text


def _shown(text: str) -> str:
    return repr(text[:MAX_SHOWN_CHARACTERS])
