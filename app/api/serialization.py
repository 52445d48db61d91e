"""Encodes prices as JSON with exactly the digits that are stored."""

import json
from collections.abc import Sequence

from app.domain.encoded_rows import EncodedPage
from app.domain.prices import Price, TickerKey
from app.files.text_layouts import ITEM_END, ITEM_START, JSON_ITEM
from app.services.reader import LatestPrice


def encode_page(key: TickerKey, page: EncodedPage, next_url: str | None) -> bytes:
    """Encode a page around the items, which the database encoded."""
    head = f'{{"exchange":"{key.exchange}","ticker":"{key.ticker}","count":{page.count},"items":['
    tail = f'],"next":{json.dumps(next_url)}}}'
    if page.count:
        head, tail = head + ITEM_START, ITEM_END + tail
    return b"".join((head.encode(), JSON_ITEM.separator_bytes.join(page.pieces), tail.encode()))


def encode_price(price: Price) -> bytes:
    """Encode one price."""
    return f"{{{_fields(price)}}}".encode()


def encode_latest(latest: LatestPrice) -> bytes:
    """Encode the newest price with its age."""
    age = f'"age_seconds":{latest.age_seconds},"stale":{json.dumps(latest.is_stale)}'
    return f"{{{_fields(latest.price)},{age}}}".encode()


def encode_latest_list(prices: Sequence[LatestPrice]) -> bytes:
    """Encode the newest prices of several tickers."""
    return b'{"items":[%b]}' % b",".join(map(encode_latest, prices))


def _fields(price: Price) -> str:
    return (
        f'"exchange":"{price.key.exchange}","ticker":"{price.key.ticker}",'
        f'"timestamp":{price.slot},"price":{price.price:f},"source":"{price.source}"'
    )
