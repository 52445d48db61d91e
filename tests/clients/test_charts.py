"""Charts: read whole and exactly, or refused whole."""

from decimal import Decimal
from typing import Any

import pytest

from app.clients.base import Exchange
from app.clients.deribit.chart import MAX_FUTURE_US
from app.core.errors import AnswerMalformed, EnvironmentMismatch, PriceRefused, UnknownIndex
from app.core.metrics import CounterKey, drain
from app.simulator import Exchange as StandIn
from app.simulator import ExchangeOptions, index_mean
from tests.clients.conftest import Connect, ServeResponse
from tests.clients.socket_servers import http_response, price_envelope
from tests.clients.test_recorded_answers import CHART, recorded

MALFORMED: list[Any] = [
    {},
    "text",
    7,
    [7],
    [[]],
    [[1000]],
    [[1000, 1, 1]],
    [["1000", 1]],
    [[1000.5, 1]],
    [[True, 1]],
    [[0, 1]],
    [[-1000, 1]],
    [[1000, "1"]],
    [[1000, None]],
    [[1000, True]],
    [{"0": 1000, "1": 1}],
    [[2000, 1], [1000, 1]],
    [[1000, 1], [1000, 1]],
]


async def test_chart_holds_what_the_exchange_sent(client: Exchange, exchange: StandIn) -> None:
    chart = await client.fetch_chart("btc_usd", client.chart_ranges[0])
    [request] = exchange.requests
    assert request.method == "get_index_chart_data"
    assert request.params == {"index_name": "btc_usd", "range": "1h"}
    assert chart.exchange_now_us == request.us_out
    assert chart.step_us == 6_000_000
    stamp = chart.timestamps_us[-1]
    assert chart.prices[-1] == index_mean("btc_usd", stamp // 1_000_000 - 6, 6)


async def test_recorded_chart_is_read_digit_by_digit(
    connect: Connect, serve_response: ServeResponse
) -> None:
    client = await connect((await serve_response(http_response(recorded(CHART)))).url)
    chart = await client.fetch_chart("btc_usd", client.chart_ranges[0])
    assert (len(chart.timestamps_us), chart.step_us) == (60, 6_000_000)
    assert chart.timestamps_us[0] == 1_789_935_450_000_000
    assert chart.prices[:2] == [Decimal("81110.95"), Decimal("81110.428333")]


def test_ranges_come_finest_first_and_the_last_reaches_everything(client: Exchange) -> None:
    *finite, last = client.chart_ranges
    reaches = [chart_range.reach_seconds or 0 for chart_range in finite]
    assert reaches == sorted(reaches)
    assert last.reach_seconds is None


async def test_every_range_is_one_of_the_exchanges(client: Exchange) -> None:
    for chart_range in client.chart_ranges:
        assert (await client.fetch_chart("eth_usd", chart_range)).timestamps_us, chart_range


async def test_empty_chart_is_an_answer(connect: Connect, serve_response: ServeResponse) -> None:
    client = await connect((await serve_response(http_response(price_envelope(result=[])))).url)
    chart = await client.fetch_chart("btc_usd", client.chart_ranges[0])
    assert (chart.timestamps_us, chart.prices, chart.step_us) == ([], [], 0)


@pytest.mark.parametrize("result", MALFORMED, ids=str)
async def test_what_is_no_chart_is_malformed(
    result: object, connect: Connect, serve_response: ServeResponse
) -> None:
    client = await connect((await serve_response(http_response(price_envelope(result=result)))).url)
    with pytest.raises(AnswerMalformed):
        await client.fetch_chart("btc_usd", client.chart_ranges[0])


@pytest.mark.parametrize("price", ["0", "-1", "1000000000001", "1e13"])
async def test_price_that_makes_no_sense_spoils_the_chart(
    price: str, connect: Connect, serve_response: ServeResponse
) -> None:
    answer = price_envelope(price.encode(), result=[[1000, 1], [2000, "PRICE"]])
    client = await connect((await serve_response(http_response(answer))).url)
    with pytest.raises(PriceRefused):
        await client.fetch_chart("btc_usd", client.chart_ranges[0])


@pytest.mark.parametrize("ahead_ms", [0, 1])
async def test_chart_of_the_future_is_malformed(
    ahead_ms: int, connect: Connect, serve_response: ServeResponse
) -> None:
    now_us = 1_768_579_260_000_000
    last_ms = (now_us + MAX_FUTURE_US) // 1000 + ahead_ms
    answer = price_envelope(result=[[1000, 1], [last_ms, 1]], usOut=now_us)
    client = await connect((await serve_response(http_response(answer))).url)
    if ahead_ms:
        with pytest.raises(AnswerMalformed, match="future"):
            await client.fetch_chart("btc_usd", client.chart_ranges[0])
    else:
        assert (await client.fetch_chart("btc_usd", client.chart_ranges[0])).timestamps_us[
            -1
        ] == last_ms * 1000


async def test_chart_without_a_clock_is_malformed(client: Exchange, exchange: StandIn) -> None:
    exchange.add_fault("without_us_out")
    with pytest.raises(AnswerMalformed, match="usOut"):
        await client.fetch_chart("btc_usd", client.chart_ranges[0])


async def test_chart_of_no_index_is_told_as_such(connect: Connect) -> None:
    async with StandIn() as strict:
        client = await connect(strict.api_url)
        with pytest.raises(UnknownIndex):
            await client.fetch_chart("nonsense_usd", client.chart_ranges[0])


async def test_chart_of_the_testnet_is_refused(connect: Connect) -> None:
    async with StandIn(ExchangeOptions(testnet=True)) as testnet:
        client = await connect(testnet.api_url)
        with pytest.raises(EnvironmentMismatch):
            await client.fetch_chart("btc_usd", client.chart_ranges[0])


async def test_chart_requests_are_counted(client: Exchange, exchange: StandIn) -> None:
    drain()
    await client.fetch_chart("btc_usd", client.chart_ranges[0])
    exchange.add_fault("html")
    with pytest.raises(Exception, match="502"):
        await client.fetch_chart("btc_usd", client.chart_ranges[0])
    method = "get_index_chart_data"
    name = "prices_exchange_requests"
    assert {key: number for key, number in drain().items() if key.metric == name} == {
        CounterKey(name, ("deribit", method, "ok")): 1,
        CounterKey(name, ("deribit", method, "exchange_unavailable")): 1,
    }
