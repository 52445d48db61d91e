"""What a number that an exchange sends must be to be taken for a price."""

from decimal import Decimal
from typing import Final

from app.core.errors import AnswerMalformed, PriceRefused
from app.domain.prices import MAX_DECIMAL_PLACES, MAX_PRICE

MAX_SHOWN_CHARACTERS: Final = 40


def require_price(value: object) -> Decimal:
    """Give a price exactly.

    Raises:
        AnswerMalformed: it is no JSON number.
        PriceRefused: it is not above 0 and up to 10^12, or has more digits than any price.
    """
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise AnswerMalformed("a price that is no number")
    price = Decimal(value)
    if not 0 < price <= MAX_PRICE or _decimal_places(price) > MAX_DECIMAL_PLACES:
        raise PriceRefused(f"a price of {str(value)[:MAX_SHOWN_CHARACTERS]}")
    return price


def _decimal_places(price: Decimal) -> int:
    exponent = price.as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0  # text only for NaN, which is not JSON
