"""How prices are written: JSON with exactly the digits that are stored."""

import json
from collections.abc import Sequence
from typing import Final

from app.domain.lines import Column, LineFormat, LinePage
from app.domain.prices import Price, TickerKey
from app.services.history import LatestPrice

ITEM_START: Final = '{"timestamp":'
ITEM_END: Final = '"}'
JSON_ITEM: Final = LineFormat(
    (Column.TIMESTAMP, ',"price":', Column.PRICE, ',"source":"', Column.SOURCE),
    between=f"{ITEM_END},{ITEM_START}",
)
"""Items of a list, without the first one's start and the last one's end.

The database writes them, so that no object is made of a row.
"""


def encode_page(key: TickerKey, page: LinePage, next_url: str | None) -> bytes:
    """Write a page of items around those that the database wrote."""
    head = f'{{"exchange":"{key.exchange}","ticker":"{key.ticker}","count":{page.count},"items":['
    tail = f'],"next":{json.dumps(next_url)}}}'
    if page.count:
        head, tail = head + ITEM_START, ITEM_END + tail
    return b"".join((head.encode(), JSON_ITEM.joint.join(page.pieces), tail.encode()))


def encode_price(price: Price) -> bytes:
    """Write one price."""
    return f"{{{_fields(price)}}}".encode()


def encode_latest(latest: LatestPrice) -> bytes:
    """Write the newest price with its age."""
    age = f'"age_seconds":{latest.age_seconds},"stale":{json.dumps(latest.is_stale)}'
    return f"{{{_fields(latest.price)},{age}}}".encode()


def encode_latest_list(found: Sequence[LatestPrice]) -> bytes:
    """Write the newest prices of several tickers."""
    return b'{"items":[%b]}' % b",".join(map(encode_latest, found))


def _fields(price: Price) -> str:
    return (
        f'"exchange":"{price.key.exchange}","ticker":"{price.key.ticker}",'
        f'"timestamp":{price.slot},"price":{price.price:f},"source":"{price.source}"'
    )
