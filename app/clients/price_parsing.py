"""Parsing and checking a price that an exchange sent."""

from decimal import Decimal
from typing import Final

from app.core.errors import AnswerMalformed, PriceRefused
from app.domain.prices import MAX_DECIMAL_PLACES, MAX_PRICE

MAX_SHOWN_CHARACTERS: Final = 40


def parse_price(value: object) -> Decimal:
    """Return a JSON number as an exact price.

    Raises:
        AnswerMalformed: it is not a number.
        PriceRefused: it is not above 0 and up to 10^12, or has too many decimal places.
    """
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise AnswerMalformed("a price that is no number")
    price = Decimal(value)
    is_in_range = price.is_finite() and 0 < price <= MAX_PRICE
    if not is_in_range or _decimal_places(price) > MAX_DECIMAL_PLACES:
        raise PriceRefused(f"a price of {str(value)[:MAX_SHOWN_CHARACTERS]}")
    return price


def _decimal_places(price: Decimal) -> int:
    exponent = price.as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0  # a str for NaN
