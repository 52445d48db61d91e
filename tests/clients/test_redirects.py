"""Redirects: followed within https, refused away from it, and never in circles."""

import pytest

from app.clients.base import Exchange
from app.clients.transport import MAX_REDIRECTS
from app.core.errors import ExchangeTimeout, ExchangeUnreachable, RedirectRefused
from app.simulator import Exchange as StandIn
from app.simulator import ExchangeOptions
from tests.clients.certificates import Certificate, make_certificate
from tests.clients.conftest import Connect, ServeResponse
from tests.clients.processes import run_python
from tests.clients.socket_servers import http_response

PRICE_PATH = "/api/v2/public/get_index_price?index_name=btc_usd"


@pytest.fixture
async def tls_client(connect: Connect, tls_exchange: StandIn) -> Exchange:
    return await connect(tls_exchange.api_url)


async def redirect_error(client: Exchange) -> RedirectRefused:
    with pytest.raises(RedirectRefused) as caught:
        await client.fetch_index_price("btc_usd")
    assert not caught.value.retryable
    return caught.value


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirect_from_https_to_https_is_followed(
    status: int, tls_client: Exchange, tls_exchange: StandIn, certificate: Certificate
) -> None:
    options = ExchangeOptions(tls_cert=certificate.certificate, tls_key=certificate.key)
    async with StandIn(options) as target:
        tls_exchange.add_fault("redirect", status=status, location=target.url + PRICE_PATH)
        quote = await tls_client.fetch_index_price("btc_usd")
        assert quote.observed_us == target.requests[-1].us_out
        assert target.requests[-1].params == {"index_name": "btc_usd"}


async def test_relative_redirect_is_followed(tls_client: Exchange, tls_exchange: StandIn) -> None:
    tls_exchange.add_fault("redirect", location=PRICE_PATH, times=1)
    assert (await tls_client.fetch_index_price("btc_usd")).price > 0
    assert len(tls_exchange.requests) == 2


async def test_redirect_from_https_to_http_is_refused(
    tls_client: Exchange, tls_exchange: StandIn, exchange: StandIn
) -> None:
    tls_exchange.add_fault("redirect", location=exchange.url + PRICE_PATH)
    await redirect_error(tls_client)
    assert not exchange.requests


async def test_redirect_from_http_to_https_is_followed(
    client: Exchange, exchange: StandIn, tls_exchange: StandIn
) -> None:
    exchange.add_fault("redirect", location=tls_exchange.url + PRICE_PATH)
    assert (await client.fetch_index_price("btc_usd")).price > 0


async def test_redirects_in_circles_are_refused(
    tls_client: Exchange, tls_exchange: StandIn
) -> None:
    tls_exchange.add_fault("redirect", location=PRICE_PATH)
    await redirect_error(tls_client)
    assert len(tls_exchange.requests) == MAX_REDIRECTS + 1


async def test_redirects_share_one_timeout(connect: Connect, tls_exchange: StandIn) -> None:
    client = await connect(tls_exchange.api_url, http_timeout_seconds=0.6)
    tls_exchange.add_fault("redirect", location=PRICE_PATH)
    tls_exchange.set_delay(fixed_ms=250)
    with pytest.raises(ExchangeTimeout):
        await client.fetch_index_price("btc_usd")


@pytest.mark.parametrize(
    "location", ["https://[::1", "https://", "ftp://127.0.0.1/", "javascript:0"]
)
async def test_redirect_to_nonsense_is_refused(
    location: str, tls_client: Exchange, tls_exchange: StandIn
) -> None:
    tls_exchange.add_fault("redirect", location=location)
    await redirect_error(tls_client)


@pytest.mark.parametrize("location", ["https://127.0.0.1:99999/", "https://a..b/", "https://%/"])
async def test_redirect_to_no_host_is_an_exchange_error(
    location: str, tls_client: Exchange, tls_exchange: StandIn
) -> None:
    tls_exchange.add_fault("redirect", location=location)
    with pytest.raises((RedirectRefused, ExchangeUnreachable)):
        await tls_client.fetch_index_price("btc_usd")


async def test_redirect_without_a_target_is_refused(
    connect: Connect, serve_response: ServeResponse
) -> None:
    await redirect_error(await connect((await serve_response(http_response(b"", 302))).url))


async def test_refusal_shows_no_part_of_the_target(
    connect: Connect, serve_response: ServeResponse
) -> None:
    fixed_server = await serve_response(
        http_response(b"", 302, Location="http://user:secret@elsewhere/")
    )
    error = await redirect_error(await connect(fixed_server.url))
    assert "secret" not in str(error)


async def test_certificate_that_nobody_vouches_for_is_refused(
    connect: Connect, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other_server = make_certificate(tmp_path_factory.mktemp("stranger"))
    options = ExchangeOptions(tls_cert=other_server.certificate, tls_key=other_server.key)
    async with StandIn(options) as impostor:
        client = await connect(impostor.api_url)
        with pytest.raises(ExchangeUnreachable, match="ClientConnectorCertificateError"):
            await client.fetch_index_price("btc_usd")
        assert not impostor.requests


ASK = """
import asyncio, sys
from redis.asyncio import Redis
from tests.clients.conftest import open_client

async def main():
    async with Redis.from_url(sys.argv[1]) as redis, open_client(redis, sys.argv[2]) as client:
        print((await client.fetch_index_price("btc_usd")).price)

asyncio.run(main())
"""


async def test_certificate_named_by_ssl_cert_file_is_trusted(
    tls_exchange: StandIn, certificate: Certificate, redis_url: str
) -> None:
    price = await run_python(
        ASK,
        redis_url,
        tls_exchange.api_url,
        SSL_CERT_FILE=str(certificate.certificate),
    )
    assert price.strip() == tls_exchange.requests[-1].price
