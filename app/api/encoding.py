"""Prices as bytes: JSON with exactly the digits that are stored."""

import json

from app.domain.prices import Price, PriceSeries
from app.services.history import LatestPrice


def encode_list(series: PriceSeries, next_url: str | None) -> bytes:
    """Write a page of prices from its columns."""
    items = ",".join(
        [
            f'{{"timestamp":{timestamp},"price":{price:f},"source":"{source}"}}'
            for timestamp, price, source in zip(
                series.timestamps, series.prices, series.sources, strict=True
            )
        ]
    )
    return (
        f'{{"exchange":"{series.key.exchange}","ticker":"{series.key.ticker}",'
        f'"count":{len(series)},"items":[{items}],"next":{json.dumps(next_url)}}}'
    ).encode()


def encode_price(price: Price) -> bytes:
    """Write one price."""
    return f"{{{_fields(price)}}}".encode()


def encode_latest(latest: LatestPrice) -> bytes:
    """Write the newest price with its age."""
    age = f'"age_seconds":{latest.age_seconds},"stale":{json.dumps(latest.is_stale)}'
    return f"{{{_fields(latest.price)},{age}}}".encode()


def _fields(price: Price) -> str:
    return (
        f'"exchange":"{price.key.exchange}","ticker":"{price.key.ticker}",'
        f'"timestamp":{price.slot},"price":{price.price:f},"source":"{price.source}"'
    )
