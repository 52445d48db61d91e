"""Symbols: tickers as charting programs name, search and draw them."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from app.domain.prices import DEFAULT_EXCHANGE, TickerKey

MAX_EXACT_DIGITS: Final = 15
"""So many significant digits survive in a JavaScript number."""


class Precision(NamedTuple):
    """How many digits recent prices have at most, before and after the point."""

    integer_digits: int
    decimal_places: int

    @property
    def scale(self) -> int:
        """Return the power of ten that makes a price a whole number without a loss of digits.

        Decimal places that a JavaScript number can't hold are left out.
        """
        exact_places = max(0, MAX_EXACT_DIGITS - self.integer_digits)
        return int(10 ** min(self.decimal_places, exact_places))


UNKNOWN_PRECISION: Final = Precision(integer_digits=1, decimal_places=2)
"""Before the first price."""


def symbol_of(key: TickerKey) -> str:
    """Return the symbol of a ticker: without the exchange, if it is the default one."""
    return key.ticker if key.exchange == DEFAULT_EXCHANGE else str(key)


def search_tickers(
    keys: Iterable[TickerKey], text: str, exchange: str, limit: int
) -> list[TickerKey]:
    """Find tickers that contain a text, those that begin with it first.

    Only letters and digits are compared, without regard to case. An empty exchange means any.
    """
    wanted = _letters_and_digits(text)
    found = [
        key
        for key in keys
        if wanted in _letters_and_digits(str(key)) and exchange.lower() in {"", key.exchange}
    ]
    found.sort(key=lambda key: (not _letters_and_digits(key.ticker).startswith(wanted), key))
    return found[:limit]


def _letters_and_digits(text: str) -> str:
    return "".join(filter(str.isalnum, text.lower()))
