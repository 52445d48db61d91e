"""A real proxy between client and exchange: who sees its credentials, and who does not."""

import asyncio
import traceback
from collections.abc import AsyncIterator, Iterator

import pytest
import structlog
import uvloop
from redis.asyncio import Redis

from app.core.errors import ExchangeError, ExchangeUnavailable, ExchangeUnreachable, ProxyRefused
from app.core.retry import Retrier
from app.simulator import Exchange as StandIn
from app.simulator import ExchangeOptions
from tests.clients.certificates import Certificate
from tests.clients.conftest import Connect, ServeResponse, open_client
from tests.clients.errors import fetch_error
from tests.clients.socket_servers import (
    FixedResponseServer,
    ProxyServer,
    http_response,
    price_envelope,
)

LOGIN = "maria:pä ss/w@rd:1"
USERNAME, PASSWORD = "maria", "pä ss/w@rd:1"
IN_URL = "maria:p%C3%A4%20ss%2Fw%40rd%3A1"
WRONG_LOGIN = {"proxy_username": "maria", "proxy_password": "hunter2"}
RIGHT_LOGIN = {"proxy_username": USERNAME, "proxy_password": PASSWORD}


@pytest.fixture
async def proxy() -> AsyncIterator[ProxyServer]:
    server = ProxyServer(login=LOGIN)
    async with server.listening():
        yield server


@pytest.fixture
async def fixed_server(serve_response: ServeResponse) -> FixedResponseServer:
    """An exchange that stores the raw head of each request."""
    return await serve_response(http_response(price_envelope()))


async def test_plain_http_goes_through_the_proxy(
    connect: Connect, proxy: ProxyServer, exchange: StandIn
) -> None:
    client = await connect(exchange.api_url, proxy_url=proxy.url, **RIGHT_LOGIN)
    assert (await client.fetch_index_price("btc_usd")).price > 0
    assert proxy.request_heads[-1].startswith(f"GET {exchange.api_url}/public/get_index_price?")


async def test_https_goes_through_a_tunnel(
    connect: Connect, proxy: ProxyServer, tls_exchange: StandIn
) -> None:
    client = await connect(tls_exchange.api_url, proxy_url=proxy.url, **RIGHT_LOGIN)
    assert (await client.fetch_index_price("btc_usd")).price > 0
    assert (await client.fetch_index_price("btc_usd")).price > 0
    assert [head.split(" ")[0] for head in proxy.request_heads] == ["CONNECT"]
    assert "User-Agent: deribit-price-collector/" in proxy.request_heads[0]


def test_tunnel_works_on_uvloop(redis_url: str, certificate: Certificate) -> None:
    async def ask() -> None:
        options = ExchangeOptions(tls_cert=certificate.certificate, tls_key=certificate.key)
        proxy = ProxyServer(login=LOGIN)
        async with (
            StandIn(options) as exchange,
            proxy.listening(),
            Redis.from_url(redis_url) as redis,
            open_client(redis, exchange.api_url, proxy_url=proxy.url, **RIGHT_LOGIN) as client,
        ):
            assert (await client.fetch_index_price("btc_usd")).price > 0
            assert len(exchange.requests) == len(proxy.request_heads) == 1

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(ask())


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_proxy_may_itself_be_reached_over_tls(
    scheme: str,
    connect: Connect,
    certificate: Certificate,
    exchange: StandIn,
    tls_exchange: StandIn,
) -> None:
    target = {"http": exchange, "https": tls_exchange}[scheme]
    proxy = ProxyServer(login=LOGIN)
    async with proxy.listening(certificate.serving()):
        proxy_url = proxy.url.replace("http://", "https://")
        client = await connect(target.api_url, proxy_url=proxy_url, **RIGHT_LOGIN)
        assert (await client.fetch_index_price("btc_usd")).price > 0
    assert len(proxy.request_heads) == 1


async def test_proxy_without_a_login_gets_none(connect: Connect, exchange: StandIn) -> None:
    open_proxy = ProxyServer()
    async with open_proxy.listening():
        client = await connect(exchange.api_url, proxy_url=open_proxy.url)
        assert (await client.fetch_index_price("btc_usd")).price > 0
    assert "Authorization" not in open_proxy.request_heads[-1]


async def test_credentials_in_the_proxy_url_count(
    connect: Connect, proxy: ProxyServer, exchange: StandIn
) -> None:
    proxy_url = proxy.url.replace("//", f"//{IN_URL}@")
    client = await connect(exchange.api_url, proxy_url=proxy_url)
    assert (await client.fetch_index_price("btc_usd")).price > 0


async def test_credentials_in_the_proxy_url_count_for_tunnels(
    connect: Connect, proxy: ProxyServer, tls_exchange: StandIn
) -> None:
    proxy_url = proxy.url.replace("//", f"//{IN_URL}@")
    client = await connect(tls_exchange.api_url, proxy_url=proxy_url)
    assert (await client.fetch_index_price("btc_usd")).price > 0


async def test_settings_of_their_own_win_over_the_proxy_url(
    connect: Connect, proxy: ProxyServer, exchange: StandIn
) -> None:
    proxy_url = proxy.url.replace("//", "//somebody:else@")
    client = await connect(exchange.api_url, proxy_url=proxy_url, **RIGHT_LOGIN)
    assert (await client.fetch_index_price("btc_usd")).price > 0


async def test_credentials_never_reach_the_exchange(
    connect: Connect, proxy: ProxyServer, fixed_server: FixedResponseServer
) -> None:
    client = await connect(fixed_server.url, proxy_url=proxy.url, **RIGHT_LOGIN)
    assert (await client.fetch_index_price("btc_usd")).price > 0
    assert "Proxy-Authorization: Basic" in proxy.request_heads[-1]
    assert "uthorization" not in fixed_server.request_heads[-1]


async def test_credentials_never_reach_the_exchange_through_a_tunnel(
    connect: Connect, proxy: ProxyServer, certificate: Certificate
) -> None:
    exchange = FixedResponseServer(answer=http_response(price_envelope()))
    async with exchange.listening(certificate.serving()):
        url = exchange.url.replace("http://", "https://")
        client = await connect(url, proxy_url=proxy.url, **RIGHT_LOGIN)
        assert (await client.fetch_index_price("btc_usd")).price > 0
    assert "Proxy-Authorization: Basic" in proxy.request_heads[-1]
    assert "uthorization" not in exchange.request_heads[-1]


async def test_without_a_proxy_no_credentials_are_sent(
    connect: Connect, fixed_server: FixedResponseServer
) -> None:
    client = await connect(fixed_server.url)
    assert (await client.fetch_index_price("btc_usd")).price > 0
    assert "uthorization" not in fixed_server.request_heads[-1]


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_wrong_credentials_are_refused_with_a_clear_word(
    scheme: str,
    connect: Connect,
    proxy: ProxyServer,
    exchange: StandIn,
    tls_exchange: StandIn,
) -> None:
    target = {"http": exchange, "https": tls_exchange}[scheme]
    error = await fetch_error(await connect(target.api_url, proxy_url=proxy.url, **WRONG_LOGIN))
    assert (type(error), error.retryable) == (ProxyRefused, False)
    assert str(error) == "the proxy refuses PROXY_USERNAME and PROXY_PASSWORD (HTTP 407)"
    assert not target.requests


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_missing_credentials_are_asked_for(
    scheme: str,
    connect: Connect,
    proxy: ProxyServer,
    exchange: StandIn,
    tls_exchange: StandIn,
) -> None:
    target = {"http": exchange, "https": tls_exchange}[scheme]
    error = await fetch_error(await connect(target.api_url, proxy_url=proxy.url))
    assert type(error) is ProxyRefused
    assert str(error) == "the proxy asks for PROXY_USERNAME and PROXY_PASSWORD (HTTP 407)"


@pytest.mark.parametrize(
    ("scheme", "kind"), [("http", ExchangeUnavailable), ("https", ExchangeUnreachable)]
)
async def test_proxy_that_can_not_reach_the_exchange_is_retryable(
    scheme: str, kind: type[ExchangeError], connect: Connect, certificate: Certificate
) -> None:
    del certificate
    failing_proxy = ProxyServer(refusal=502)
    async with failing_proxy.listening():
        client = await connect(f"{scheme}://127.0.0.1:1/api/v2", proxy_url=failing_proxy.url)
        error = await fetch_error(client)
    assert (type(error), error.retryable) == (kind, True)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("proxy_is_there", [True, False])
async def test_credentials_are_in_no_error_and_no_log(
    scheme: str,
    proxy_is_there: bool,  # noqa: FBT001
    connect: Connect,
    proxy: ProxyServer,
) -> None:
    address = proxy.url if proxy_is_there else "http://127.0.0.1:1"
    proxy_url = address.replace("//", "//maria:hunter2@")
    client = await connect(f"{scheme}://127.0.0.1:1/api/v2", proxy_url=proxy_url)
    retrier = Retrier(0, first_wait_seconds=1, max_wait_seconds=1)
    with structlog.testing.capture_logs() as logs, pytest.raises(ExchangeError) as caught:
        await retrier.call(lambda: client.fetch_index_price("btc_usd"))
    assert len(logs) == 1
    shown = "".join(traceback.format_exception(caught.value)) + str(logs)
    shown += "".join(map(repr, exception_chain(caught.value)))
    assert not [secret for secret in ("maria", "hunter2", "bWFyaWE6aHVudGVyMg") if secret in shown]


async def test_credentials_are_in_no_error_about_what_is_not_http(
    connect: Connect, serve_response: ServeResponse
) -> None:
    broken = await serve_response(b"220 ready for mail\r\n\r\n", closes_connection=True)
    proxy_url = broken.url.replace("//", "//maria:hunter2@")
    error = await fetch_error(await connect("http://127.0.0.1:1/api/v2", proxy_url=proxy_url))
    assert "bWFyaWE6aHVudGVyMg" not in "".join(map(repr, exception_chain(error)))


def exception_chain(error: BaseException | None) -> Iterator[BaseException]:
    """Follow an error to its causes, as far as anything would show them."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
