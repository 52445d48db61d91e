"""The public methods: fields, types and errors as Deribit was recorded to send them."""

import re
import time
from decimal import Decimal
from itertools import pairwise

import aiohttp
import pytest

from app.simulator import Exchange, ExchangeOptions, index_mean, index_price
from tests.simulator.client import Client

ENVELOPE = {"jsonrpc", "result", "usIn", "usOut", "usDiff", "testnet"}
MISSING_PARAMS = {"code": -32000, "message": "Missing params"}
METHOD_NOT_FOUND = {"code": -32601, "message": "Method not found"}


def invalid(param: str, reason: str) -> dict[str, object]:
    data = {"reason": reason, "param": param}
    return {"code": -32602, "message": "Invalid params", "data": data}


async def test_index_price_has_the_recorded_shape(client: Client) -> None:
    reply = await client.price()
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    assert set(reply.json) == ENVELOPE
    assert reply.json["jsonrpc"] == "2.0"
    assert reply.json["testnet"] is False
    assert set(reply.result) == {"index_price", "estimated_delivery_price"}
    assert {type(value) for value in reply.result.values()} == {Decimal}


async def test_stamps_are_microseconds_around_the_answer(client: Client) -> None:
    before = time.time_ns() // 1_000
    reply = await client.price()
    us_in, us_out = reply.json["usIn"], reply.json["usOut"]
    assert before <= us_in <= us_out <= time.time_ns() // 1_000
    assert reply.json["usDiff"] == us_out - us_in


async def test_price_is_the_one_at_us_out(client: Client) -> None:
    reply = await client.price("eth_usd")
    expected = index_price("eth_usd", reply.json["usOut"] // 1_000_000)
    assert f'"index_price":{expected},' in reply.text


async def test_unknown_index_is_refused_as_recorded(client: Client) -> None:
    reply = await client.price("no_such")
    assert reply.status == 400
    assert reply.error == invalid("index_name", "invalid index")
    assert set(reply.json) == ENVELOPE - {"result"} | {"error"}


@pytest.mark.parametrize(
    "method", ["get_index_price", "get_index_chart_data", "get_delivery_prices"]
)
async def test_missing_index_is_refused(client: Client, method: str) -> None:
    reply = await client.get(method)
    assert (reply.status, reply.error) == (400, MISSING_PARAMS)


@pytest.mark.parametrize("method", ["get_index", "get_nothing", ""])
async def test_unknown_method_is_not_found(client: Client, method: str) -> None:
    reply = await client.get(method, currency="BTC")
    assert (reply.status, reply.error) == (400, METHOD_NOT_FOUND)


async def test_price_names_are_the_recorded_200(client: Client) -> None:
    names = (await client.get("get_index_price_names")).result
    assert (len(names), len(set(names))) == (200, 200)
    assert {"btc_usd", "eth_usd", "sol_usd", "drbfix-btc_usdc"} <= set(names)


async def test_extended_price_names_are_objects(client: Client) -> None:
    names = (await client.get("get_index_price_names", extended="true")).result
    assert names[16] == {
        "name": "btc_usd",
        "future_combo_creation_enabled": True,
        "option_combo_creation_enabled": True,
    }


async def test_supported_names_are_the_recorded_190(client: Client) -> None:
    every = (await client.get("get_supported_index_names")).result
    spot = (await client.get("get_supported_index_names", type="spot")).result
    derivative = (await client.get("get_supported_index_names", type="derivative")).result
    assert len(every) == 190
    assert every == spot + derivative
    assert "btc_usd" in derivative


async def test_every_listed_name_has_a_price(client: Client) -> None:
    for name in (await client.get("get_supported_index_names")).result:
        assert (await client.price(name)).status == 200


@pytest.mark.parametrize(
    ("method", "params", "param", "reason"),
    [
        ("get_index_price_names", {"extended": "perhaps"}, "extended", "wrong format"),
        ("get_supported_index_names", {"type": "future"}, "type", "invalid type"),
        (
            "get_index_chart_data",
            {"index_name": "btc_usd", "range": "3d"},
            "range",
            "invalid range",
        ),
        (
            "get_index_chart_data",
            {"index_name": "x_y", "range": "1h"},
            "index_name",
            "invalid index",
        ),
        ("get_delivery_prices", {"index_name": "btc_usd", "count": "x"}, "count", "wrong format"),
        ("get_delivery_prices", {"index_name": "btc_usd", "offset": -1}, "offset", "wrong format"),
        (
            "get_delivery_prices",
            {"index_name": "btc_usd", "count": 1001},
            "count",
            "must be at most 1000",
        ),
    ],
)
async def test_bad_parameter_is_named(
    client: Client, method: str, params: dict[str, str | int], param: str, reason: str
) -> None:
    reply = await client.get(method, **params)
    assert (reply.status, reply.error) == (400, invalid(param, reason))


async def test_hour_chart_is_600_means_of_six_seconds(client: Client) -> None:
    reply = await client.get("get_index_chart_data", index_name="btc_usd", range="1h")
    now, points = reply.json["usOut"] // 1_000_000, reply.result
    stamps = [stamp for stamp, _ in points]
    assert stamps == list(range(stamps[0], stamps[-1] + 1, 6_000))
    assert 599 <= len(points) <= 600
    assert 3_588 < now - stamps[0] // 1_000 <= 3_594
    assert 0 <= now - stamps[-1] // 1_000 < 6
    for stamp, mean in points:
        assert mean == index_mean("btc_usd", stamp // 1_000 - 6, 6)


@pytest.mark.parametrize(
    ("span", "step", "least"),
    [
        ("1d", 60, 1_439),
        ("2d", 300, 575),
        ("1m", 3_600, 719),
        ("1y", 86_400, 364),
        ("all", 86_400, 3_600),
    ],
)
async def test_chart_covers_its_range_up_to_now(
    client: Client, span: str, step: int, least: int
) -> None:
    reply = await client.get("get_index_chart_data", index_name="eth_usd", range=span)
    stamps = [stamp // 1_000 for stamp, _ in reply.result]
    assert {right - left for left, right in pairwise(stamps)} == {step}
    assert 0 <= reply.json["usOut"] / 1e6 - stamps[-1] < step
    assert len(stamps) >= least


async def test_delivery_prices_are_those_of_0800_newest_first(client: Client) -> None:
    result = (await client.get("get_delivery_prices", index_name="btc_usd", count=3)).result
    assert set(result) == {"records_total", "data"}
    dates = [entry["date"] for entry in result["data"]]
    assert dates == sorted(dates, reverse=True)
    newest = int(time.time() - 8 * 3_600) // 86_400 * 86_400 + 8 * 3_600
    assert result["data"][0]["delivery_price"] == index_price("btc_usd", newest)


async def test_delivery_prices_come_page_by_page(client: Client) -> None:
    page = (await client.get("get_delivery_prices", index_name="btc_usd", count=20)).result
    rest = (await client.get("get_delivery_prices", index_name="btc_usd", offset=10)).result
    assert rest["data"] == page["data"][10:]
    end = page["records_total"] - 1
    last = (await client.get("get_delivery_prices", index_name="btc_usd", offset=end)).result
    assert [entry["date"] for entry in last["data"]] == ["2017-01-01"]


async def test_time_is_in_milliseconds(client: Client) -> None:
    reply = await client.get("get_time")
    assert reply.result == reply.json["usOut"] // 1_000


async def test_status_says_locked_as_a_string(client: Client) -> None:
    assert (await client.get("status")).result == {"locked": "false"}


async def test_test_answers_the_version_or_an_error(client: Client) -> None:
    assert re.fullmatch(r"[\d.]+", (await client.get("test")).result["version"])
    assert (await client.get("test", expected_result="exception")).error["code"] == 10001


async def test_testnet_says_so_in_every_answer() -> None:
    async with (
        Exchange(ExchangeOptions(testnet=True)) as exchange,
        aiohttp.ClientSession() as session,
    ):
        client = Client(exchange, session)
        assert (await client.price()).json["testnet"] is True
        assert (await client.price("no_such")).json["testnet"] is True


async def test_further_indices_are_served_and_listed() -> None:
    options = ExchangeOptions(indices=("mars_usd", "btc_usd"))
    async with Exchange(options) as exchange, aiohttp.ClientSession() as session:
        client = Client(exchange, session)
        assert (await client.price("mars_usd")).status == 200
        names = (await client.get("get_index_price_names")).result
        assert names[200:] == ["mars_usd"]


async def test_any_index_serves_well_formed_names_only() -> None:
    options = ExchangeOptions(any_index=True)
    async with Exchange(options) as exchange, aiohttp.ClientSession() as session:
        client = Client(exchange, session)
        assert (await client.price("load-17_usd")).status == 200
        assert (await client.price("Load_usd")).status == 400


async def test_rate_limit_answers_10028_under_429() -> None:
    options = ExchangeOptions(rate_limit=0.001, burst=2)
    async with Exchange(options) as exchange, aiohttp.ClientSession() as session:
        client = Client(exchange, session)
        replies = [await client.price() for _ in range(3)]
        assert [reply.status for reply in replies] == [200, 200, 429]
        assert replies[2].error == {"code": 10028, "message": "too_many_requests"}


async def test_exchange_whose_clock_is_decades_off_still_answers(
    exchange: Exchange, client: Client
) -> None:
    exchange.set_clock(offset_ms=-1e12)
    assert (await client.price()).status == 200
    deliveries = (await client.get("get_delivery_prices", index_name="btc_usd")).result
    assert deliveries == {"records_total": 0, "data": []}
    chart = await client.get("get_index_chart_data", index_name="btc_usd", range="all")
    assert chart.result == []
