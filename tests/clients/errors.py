"""Requests that must fail."""

import asyncio

import pytest

from app.clients.base import Exchange
from app.core.errors import ExchangeError


async def fetch_error(client: Exchange) -> ExchangeError:
    """Fetch a price, which must fail, and return the error."""
    async with asyncio.timeout(30):
        with pytest.raises(ExchangeError) as caught:
            await client.fetch_index_price("btc_usd")
    return caught.value
