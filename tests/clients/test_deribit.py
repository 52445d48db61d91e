"""An exchange that answers badly, late, or not at all: each fault and its name."""

import socket

import pytest

from app.clients.base import Exchange
from app.clients.transport import MAX_BODY_BYTES
from app.core.errors import (
    AnswerMalformed,
    AppError,
    EnvironmentMismatch,
    ExchangeMaintenance,
    ExchangeRateLimited,
    ExchangeTimeout,
    ExchangeUnavailable,
    ExchangeUnreachable,
    UnknownIndex,
)
from app.simulator import Exchange as StandIn
from app.simulator import ExchangeOptions
from tests.clients.conftest import Connect, ServeResponse
from tests.clients.errors import fetch_error
from tests.clients.socket_servers import http_response, price_envelope


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("wrong_type", AnswerMalformed),
        ("missing_result", AnswerMalformed),
        ("without_us_out", AnswerMalformed),
        ("not_object", AnswerMalformed),
        ("testnet", EnvironmentMismatch),
        ("cut", AnswerMalformed),
        ("cut_connection", AnswerMalformed),
        ("reset", ExchangeUnreachable),
    ],
)
async def test_fault_of_an_answer_gets_its_class(
    kind: str, expected: type[AppError], client: Exchange, exchange: StandIn
) -> None:
    exchange.add_fault(kind)
    error = await fetch_error(client)
    assert type(error) is expected
    assert error.retryable is (expected is not EnvironmentMismatch)


async def test_cut_json_is_malformed_and_retryable(client: Exchange, exchange: StandIn) -> None:
    exchange.add_fault("cut", times=1)
    assert (await fetch_error(client)).retryable
    assert (await client.fetch_index_price("btc_usd")).price > 0


@pytest.mark.parametrize(
    "kind", ["without_us_in", "without_us_diff", "without_testnet", "without_jsonrpc", "id_on_get"]
)
async def test_what_is_not_needed_may_be_missing(
    kind: str, client: Exchange, exchange: StandIn
) -> None:
    exchange.add_fault(kind)
    assert (await client.fetch_index_price("btc_usd")).price > 0


@pytest.mark.parametrize("us_out", [1.5e15, "1768579260000000", True, 0, -1, 2**63])
async def test_senseless_stamp_is_malformed(
    us_out: object, connect: Connect, serve_response: ServeResponse
) -> None:
    client = await connect((await serve_response(http_response(price_envelope(usOut=us_out)))).url)
    assert type(await fetch_error(client)) is AnswerMalformed


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [
        ("html", 502, ExchangeUnavailable),
        ("html", 200, AnswerMalformed),
        ("empty", 200, AnswerMalformed),
        ("empty", 429, ExchangeRateLimited),
        ("empty", 503, ExchangeUnavailable),
    ],
)
async def test_answer_without_json_is_retryable(
    kind: str, status: int, expected: type[AppError], client: Exchange, exchange: StandIn
) -> None:
    exchange.add_fault(kind, status=status)
    error = await fetch_error(client)
    assert (type(error), error.retryable) == (expected, True)


@pytest.mark.parametrize("status", [200, 400, 429, 503])
@pytest.mark.parametrize(
    ("code", "kind"), [(10028, ExchangeRateLimited), (11051, ExchangeMaintenance)]
)
async def test_code_counts_under_any_status(
    code: int, kind: type[AppError], status: int, client: Exchange, exchange: StandIn
) -> None:
    exchange.add_fault("error", code=code, status=status)
    assert type(await fetch_error(client)) is kind


async def test_unknown_index_is_not_retryable(connect: Connect) -> None:
    async with StandIn() as strict:
        client = await connect(strict.api_url)
        with pytest.raises(UnknownIndex) as caught:
            await client.fetch_index_price("nothing_usd")
    assert not caught.value.retryable


async def test_retry_after_header_reaches_the_caller(
    connect: Connect, serve_response: ServeResponse
) -> None:
    fixed_server = await serve_response(http_response(b"", 429, Retry_After="17"))
    error = await fetch_error(await connect(fixed_server.url))
    assert (type(error), error.retry_after_seconds) == (ExchangeRateLimited, 17)


async def test_wait_in_the_error_reaches_the_caller(client: Exchange, exchange: StandIn) -> None:
    exchange.add_fault("error", code=10028, data={"wait": 3})
    assert (await fetch_error(client)).retry_after_seconds == 3


@pytest.mark.parametrize("drip", [False, True])
async def test_stall_is_a_timeout(drip: bool, connect: Connect, exchange: StandIn) -> None:  # noqa: FBT001
    exchange.add_fault("stall", drip=drip)
    error = await fetch_error(await connect(exchange.api_url, http_timeout_seconds=0.5))
    assert (type(error), error.retryable) == (ExchangeTimeout, True)
    assert str(error) == "no answer within 0.5 s"


async def test_body_that_never_ends_is_a_timeout(
    connect: Connect, serve_response: ServeResponse
) -> None:
    fixed_server = await serve_response(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
    error = await fetch_error(await connect(fixed_server.url, http_timeout_seconds=0.5))
    assert type(error) is ExchangeTimeout


async def test_refused_connection_is_unreachable(connect: Connect) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        error = await fetch_error(await connect(f"http://127.0.0.1:{taken.getsockname()[1]}"))
    assert (type(error), error.retryable) == (ExchangeUnreachable, True)
    assert "Connect call failed" in str(error)


async def test_name_without_an_address_is_unreachable(connect: Connect) -> None:
    error = await fetch_error(await connect("http://no-such-host.invalid/api/v2"))
    assert (type(error), error.retryable) == (ExchangeUnreachable, True)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n"])
async def test_connection_closed_before_the_answer_is_unreachable(
    answer: bytes, connect: Connect, serve_response: ServeResponse
) -> None:
    fixed_server = await serve_response(answer, closes_connection=True)
    assert type(await fetch_error(await connect(fixed_server.url))) is ExchangeUnreachable


async def test_answer_that_is_not_http_is_malformed(
    connect: Connect, serve_response: ServeResponse
) -> None:
    fixed_server = await serve_response(b"220 ready for mail\r\n\r\n", closes_connection=True)
    assert type(await fetch_error(await connect(fixed_server.url))) is AnswerMalformed


async def test_answer_cut_within_its_body_is_malformed(
    connect: Connect, serve_response: ServeResponse
) -> None:
    fixed_server = await serve_response(
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{", closes_connection=True
    )
    error = await fetch_error(await connect(fixed_server.url))
    assert (type(error), error.retryable) == (AnswerMalformed, True)


async def test_broken_compression_is_malformed(
    connect: Connect, serve_response: ServeResponse
) -> None:
    fixed_server = await serve_response(http_response(b"no gzip", Content_Encoding="gzip"))
    assert type(await fetch_error(await connect(fixed_server.url))) is AnswerMalformed


async def test_huge_body_is_not_read_to_its_end(
    connect: Connect, serve_response: ServeResponse
) -> None:
    fixed_server = await serve_response(http_response(b" " * (MAX_BODY_BYTES + 1)))
    error = await fetch_error(await connect(fixed_server.url))
    assert (type(error), error.retryable) == (AnswerMalformed, True)


async def test_deep_nesting_is_malformed(client: Exchange, exchange: StandIn) -> None:
    exchange.add_fault("not_object", body="[" * 100_000)
    assert type(await fetch_error(client)) is AnswerMalformed


@pytest.mark.parametrize("result", [{}, [], [1], "text", 7])
async def test_result_without_a_price_is_malformed(
    result: object, connect: Connect, serve_response: ServeResponse
) -> None:
    client = await connect((await serve_response(http_response(price_envelope(result=result)))).url)
    assert type(await fetch_error(client)) is AnswerMalformed


@pytest.mark.parametrize("result", [{}, "text", [1], [{"id": "btc_usd"}], [None]])
async def test_senseless_names_are_malformed(
    result: object, connect: Connect, serve_response: ServeResponse
) -> None:
    client = await connect((await serve_response(http_response(price_envelope(result=result)))).url)
    with pytest.raises(AnswerMalformed):
        await client.fetch_index_names()


async def test_testnet_price_from_a_production_url_is_refused(connect: Connect) -> None:
    async with StandIn(ExchangeOptions(testnet=True)) as testnet:
        error = await fetch_error(await connect(testnet.api_url))
    assert (type(error), error.retryable) == (EnvironmentMismatch, False)


async def test_production_price_from_the_testnet_url_is_refused(
    connect: Connect, exchange: StandIn
) -> None:
    # the stand-in as a proxy: it is asked for http://test.deribit.com/api/v2/...
    client = await connect("http://test.deribit.com/api/v2", proxy_url=exchange.url)
    error = await fetch_error(client)
    assert (type(error), error.retryable) == (EnvironmentMismatch, False)


async def test_testnet_price_is_stored_as_another_exchange(connect: Connect) -> None:
    async with StandIn(ExchangeOptions(testnet=True)) as testnet:
        client = await connect("http://test.deribit.com/api/v2", proxy_url=testnet.url)
        quote = await client.fetch_index_price("btc_usd")
    assert quote.key.exchange == client.name == "deribit-test"
