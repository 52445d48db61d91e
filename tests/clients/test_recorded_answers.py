"""Answers of the real exchange, as they were recorded, and the stand-in's beside them."""

import json
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.clients.deribit.json_rpc import parse_envelope
from app.clients.transport import HttpResponse
from app.core.errors import ExchangeError, ExchangeMaintenance, RequestRejected, UnknownIndex
from app.domain.prices import TickerKey
from app.simulator import Exchange as StandIn
from app.simulator import ExchangeOptions
from tests.clients.conftest import Connect, ServeResponse
from tests.clients.socket_servers import http_response

PROJECT = Path(__file__).parents[2]
RECORDED = PROJECT / "tests/data/deribit"
SHARED = PROJECT / "../shared/deribit/responses"

PRICE = "openbb_result_get_index_price_btc_usd.json"
PRICE_ON_TESTNET = "gh66233945152_get_index_price_testnet_200.json"
UNKNOWN_INDEX = "gh66233945152_get_index_price_invalid_index_testnet.json"
NAMES = "openbb_result_get_index_price_names.json"
SUPPORTED_NAMES = "openbb_result_get_supported_index_names.json"
CHART = "openbb_result_get_index_chart_data_btc_usd_first60of1h.json"
TIME = "openbb_result_get_time.json"
STATUS = "openbb_result_status.json"
INSTRUMENTS = "zenhive_get_instruments_subset.json"
TICKER = "zenhive_ticker_BTC-PERPETUAL_200.json"
BARE_TICKER = "openbb_result_ticker_BTC-PERPETUAL.json"
BAD_INSTRUMENT = "zenhive_ticker_bad_instrument_http400.json"
BAD_FORMAT = "gct_issue2099_get_mark_price_history_http400.json"
BAD_CREDENTIALS = "zenhive_private_invalid_credentials_http400_testnet.json"
MAINTENANCE = "zenhive_roadmap_maintenance_http503_partial.json"

BARE_RESULTS = [PRICE, NAMES, SUPPORTED_NAMES, CHART, TIME, STATUS, BARE_TICKER]
RESULTS = [*BARE_RESULTS, PRICE_ON_TESTNET, INSTRUMENTS, TICKER]
ERRORS: list[tuple[str, int, type[ExchangeError], str]] = [
    (UNKNOWN_INDEX, 400, UnknownIndex, "-32602 Invalid params invalid index"),
    (BAD_INSTRUMENT, 400, RequestRejected, "-32602 Invalid params wrong format"),
    (BAD_FORMAT, 400, RequestRejected, "-32602 Invalid params wrong format"),
    (BAD_CREDENTIALS, 400, RequestRejected, "13004 invalid_credentials"),
    (MAINTENANCE, 503, ExchangeMaintenance, "11051 system_maintenance"),
]


def recorded(name: str) -> bytes:
    """Read a recording; put one that is the result alone back into its envelope."""
    body = (RECORDED / name).read_bytes()
    if name not in BARE_RESULTS:
        return body
    return b'{"jsonrpc":"2.0","testnet":false,"usOut":1789939041264000,"result":' + body + b"}"


def exact(body: bytes) -> Any:  # noqa: ANN401  # whatever was recorded
    return json.loads(body, parse_float=Decimal)


def shape(value: Any) -> Any:  # noqa: ANN401  # whatever came
    """Give the fields and types of an answer: a list is what its items are."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()}
    if isinstance(value, list):
        return sorted({json.dumps(shape(item), sort_keys=True) for item in value})
    return "number" if type(value) in (int, Decimal) else type(value).__name__


def test_every_recording_is_read_in_a_test() -> None:
    assert {path.name for path in RECORDED.glob("*.json")} == {
        *RESULTS,
        *(row[0] for row in ERRORS),
    }


@pytest.mark.skipif(not SHARED.is_dir(), reason="the recordings' source is not on this machine")
def test_recordings_are_those_that_were_handed_over() -> None:
    assert {path.name: path.read_bytes() for path in SHARED.glob("*.json")} == {
        path.name: path.read_bytes() for path in RECORDED.glob("*.json")
    }


@pytest.mark.parametrize("name", RESULTS)
def test_recorded_result_is_read_whole(name: str) -> None:
    price_envelope = parse_envelope(HttpResponse(200, recorded(name)))
    answer = exact(recorded(name))
    assert price_envelope.result == answer["result"]
    assert price_envelope.observed_us == answer["usOut"]
    assert price_envelope.testnet is answer["testnet"]


@pytest.mark.parametrize(("name", "status", "kind", "text"), ERRORS)
def test_recorded_error_gets_its_class(
    name: str, status: int, kind: type[ExchangeError], text: str
) -> None:
    with pytest.raises(ExchangeError) as caught:
        parse_envelope(HttpResponse(status, recorded(name)))
    assert (type(caught.value), str(caught.value)) == (kind, text)


async def test_client_reads_the_recorded_price(
    connect: Connect, serve_response: ServeResponse
) -> None:
    client = await connect((await serve_response(http_response(recorded(PRICE)))).url)
    quote = await client.fetch_index_price("btc_usd")
    assert str(quote.price) == "80814.47"
    assert quote.key == TickerKey("deribit", "btc_usd")
    assert quote.observed_us == 1789939041264000


async def test_client_reads_the_recorded_names(
    connect: Connect, serve_response: ServeResponse
) -> None:
    client = await connect((await serve_response(http_response(recorded(NAMES)))).url)
    names = await client.fetch_index_names()
    assert len(names) == 200
    assert {"btc_usd", "eth_usd"} <= names


async def test_client_reads_names_that_come_as_objects(
    connect: Connect, exchange: StandIn, serve_response: ServeResponse
) -> None:
    extended = await ask(exchange, "get_index_price_names", extended="true")
    client = await connect((await serve_response(http_response(extended))).url)
    plain = await connect(exchange.api_url)
    assert await client.fetch_index_names() == await plain.fetch_index_names()


@pytest.mark.parametrize(
    ("name", "method", "params"),
    [
        (PRICE, "get_index_price", {"index_name": "btc_usd"}),
        (NAMES, "get_index_price_names", {}),
        (SUPPORTED_NAMES, "get_supported_index_names", {}),
        (STATUS, "status", {}),
        (TIME, "get_time", {}),
        (CHART, "get_index_chart_data", {"index_name": "btc_usd", "range": "1h"}),
    ],
)
async def test_stand_in_result_has_the_recorded_shape(
    name: str, method: str, params: dict[str, str], exchange: StandIn
) -> None:
    answer = exact(await ask(exchange, method, **params))
    result = exact((RECORDED / name).read_bytes())
    assert shape(answer["result"]) == shape(result)


@pytest.mark.parametrize(
    ("name", "index"), [(PRICE_ON_TESTNET, "btc_usd"), (UNKNOWN_INDEX, "nothing_usd")]
)
async def test_stand_in_envelope_has_the_recorded_shape(name: str, index: str) -> None:
    async with StandIn(ExchangeOptions(testnet=True)) as testnet:
        answer = exact(await ask(testnet, "get_index_price", index_name=index))
    assert shape(answer) == shape(exact(recorded(name)))
    assert answer["testnet"] is True


async def test_stand_in_maintenance_has_the_recorded_error(exchange: StandIn) -> None:
    exchange.add_fault("error", code=11051)
    answer = exact(await ask(exchange, "get_time"))
    assert answer["error"] == exact(recorded(MAINTENANCE))["error"]


def test_recorded_chart_has_a_step_of_six_seconds() -> None:
    points = exact(recorded(CHART))["result"]
    times = [point[0] for point in points]
    assert {later - earlier for earlier, later in pairwise(times)} == {6_000}


async def ask(exchange: StandIn, method: str, **params: str) -> bytes:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{exchange.api_url}/public/{method}", params=params) as response,
    ):
        return await response.read()
