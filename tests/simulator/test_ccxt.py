"""A client that others wrote takes the exchange for Deribit."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from ccxt.async_support import deribit
from ccxt.base.errors import BadRequest, DDoSProtection, ExchangeNotAvailable, OnMaintenance

from app.simulator import Exchange


@pytest.fixture
async def ccxt(exchange: Exchange) -> AsyncIterator[deribit]:
    client = deribit({"urls": {"api": {"rest": exchange.url}}, "enableRateLimit": False})
    try:
        yield client
    finally:
        await client.close()


async def test_time_and_status(ccxt: deribit, exchange: Exchange) -> None:
    assert abs(await ccxt.fetch_time() * 1_000 - exchange.requests[0].received_us) < 1_000_000
    assert (await ccxt.fetch_status())["status"] == "ok"


async def test_index_price(ccxt: deribit, exchange: Exchange) -> None:
    answer = await ccxt.publicGetGetIndexPrice({"index_name": "btc_usd"})
    assert answer["result"]["index_price"] == float(exchange.requests[0].price or "nan")


async def test_names(ccxt: deribit) -> None:
    assert "eth_usd" in (await ccxt.publicGetGetIndexPriceNames())["result"]
    assert "eth_usd" in (await ccxt.publicGetGetSupportedIndexNames({"type": "all"}))["result"]


async def test_chart(ccxt: deribit) -> None:
    fault = {"index_name": "eth_usd", "range": "1h"}
    points = (await ccxt.publicGetGetIndexChartData(fault))["result"]
    assert points[1][0] - points[0][0] == 6_000


async def test_delivery_prices(ccxt: deribit) -> None:
    answer = await ccxt.publicGetGetDeliveryPrices({"index_name": "eth_usd", "count": 2})
    assert len(answer["result"]["data"]) == 2


async def test_unknown_index_is_a_bad_request(ccxt: deribit) -> None:
    with pytest.raises(BadRequest):
        await ccxt.publicGetGetIndexPrice({"index_name": "none_such"})


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "error", "code": 10028}, DDoSProtection),
        ({"kind": "error", "code": 11051}, OnMaintenance),
        ({"kind": "html"}, ExchangeNotAvailable),
    ],
)
async def test_faults_are_understood(
    ccxt: deribit, exchange: Exchange, fault: dict[str, Any], error: type[Exception]
) -> None:
    exchange.add_fault(**fault)
    with pytest.raises(error):
        await ccxt.fetch_time()
