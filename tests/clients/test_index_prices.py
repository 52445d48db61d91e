"""Index prices: exactly as they were sent, or not at all."""

from decimal import Decimal

import pytest

from app.clients.base import Exchange
from app.core.errors import AnswerMalformed, PriceRefused
from app.simulator import Exchange as StandIn
from tests.clients.conftest import Connect
from tests.clients.errors import fetch_error


async def test_quote_is_what_the_exchange_sent(client: Exchange, exchange: StandIn) -> None:
    quote = await client.fetch_index_price("eth_usd")
    request = exchange.requests[-1]
    assert (request.method, request.params) == ("get_index_price", {"index_name": "eth_usd"})
    assert (str(quote.price), quote.observed_us) == (request.price, request.us_out)


async def test_base_url_may_end_in_public(connect: Connect, exchange: StandIn) -> None:
    client = await connect(f"{exchange.api_url}/public/")
    assert (await client.fetch_index_price("btc_usd")).price > 0


@pytest.mark.parametrize(
    ("sent", "price"),
    [
        ("60123.456789", "60123.456789"),
        ("60123.10", "60123.10"),
        ("60123", "60123"),
        ("6.0123e4", "60123"),
        ("6E-8", "0.00000006"),
        ("0.1", "0.1"),
        ("1000000000000", "1000000000000"),
        ("1e12", "1000000000000"),
        ("12345678901.123456789012345678", "12345678901.123456789012345678"),
        ("0." + "0" * 39 + "1", "0." + "0" * 39 + "1"),
    ],
)
async def test_price_arrives_exactly(
    sent: str, price: str, client: Exchange, exchange: StandIn
) -> None:
    exchange.market.pin("btc_usd", sent)
    quote = await client.fetch_index_price("btc_usd")
    assert isinstance(quote.price, Decimal)
    assert format(quote.price, "f") == price


@pytest.mark.parametrize(
    "sent",
    [
        "0",
        "0.0",
        "-0.0",
        "-1",
        "-60123.45",
        "1000000000000.01",
        "1000000000001",
        "1e13",
        "1e999999",
        "1e-41",
        "1e-400",
        "0." + "0" * 40 + "1",
        "9" * 4_000,
    ],
    ids=lambda text: text[:20],
)
async def test_senseless_price_is_refused(sent: str, client: Exchange, exchange: StandIn) -> None:
    exchange.market.pin("btc_usd", sent)
    error = await fetch_error(client)
    assert (type(error), error.retryable) == (PriceRefused, True)
    assert len(str(error)) < 100


@pytest.mark.parametrize(
    "sent",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "null",
        "true",
        "false",
        '"60123.45"',
        "{}",
        "[1]",
        "9" * 5_000,
        "1e9999999999999999999",
    ],
    ids=lambda text: text[:20],
)
async def test_price_that_is_no_number_is_malformed(
    sent: str, client: Exchange, exchange: StandIn
) -> None:
    exchange.add_fault("price", price=sent)
    error = await fetch_error(client)
    assert (type(error), error.retryable) == (AnswerMalformed, True)
