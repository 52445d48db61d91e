"""What the session sends and keeps: our name, no cookies, nothing from the environment."""

import asyncio
import gc
from pathlib import Path

import pytest
from redis.asyncio import Redis

from app import __version__
from app.simulator import Exchange as StandIn
from tests.clients.conftest import Connect, ServeResponse, open_client
from tests.clients.socket_servers import http_response, price_envelope


async def test_user_agent_is_ours(connect: Connect, serve_response: ServeResponse) -> None:
    fixed_server = await serve_response(http_response(price_envelope()))
    await (await connect(fixed_server.url)).fetch_index_price("btc_usd")
    assert (
        f"User-Agent: deribit-price-collector/{__version__}\r\n" in fixed_server.request_heads[-1]
    )


async def test_cookies_are_not_kept(connect: Connect, serve_response: ServeResponse) -> None:
    fixed_server = await serve_response(
        http_response(price_envelope(), Set_Cookie="session=1; Path=/")
    )
    client = await connect(fixed_server.url.replace("127.0.0.1", "localhost"))
    for _ in range(2):
        await client.fetch_index_price("btc_usd")
    assert "Cookie" not in fixed_server.request_heads[-1]


async def test_one_connection_serves_request_after_request(
    connect: Connect, serve_response: ServeResponse
) -> None:
    fixed_server = await serve_response(http_response(price_envelope()))
    client = await connect(fixed_server.url)
    for _ in range(5):
        await client.fetch_index_price("btc_usd")
    assert (len(fixed_server.request_heads), fixed_server.connections) == (5, 1)


async def test_connection_that_the_exchange_closed_is_replaced(
    connect: Connect, serve_response: ServeResponse
) -> None:
    fixed_server = await serve_response(http_response(price_envelope()), closes_connection=True)
    client = await connect(fixed_server.url)
    for _ in range(3):
        await client.fetch_index_price("btc_usd")
    assert fixed_server.connections == 3


async def test_no_more_connections_than_allowed(connect: Connect, exchange: StandIn) -> None:
    client = await connect(exchange.api_url, exchange_connections=2)
    exchange.set_delay(fixed_ms=20)
    await asyncio.gather(*(client.fetch_index_price("btc_usd") for _ in range(10)))
    assert exchange.request_log.summary()["max_in_flight"] == 2


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
async def test_proxy_of_the_environment_is_not_used(
    name: str, connect: Connect, exchange: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:1")
    client = await connect(exchange.api_url)
    assert (await client.fetch_index_price("btc_usd")).price > 0


async def test_netrc_is_not_used(
    connect: Connect, serve_response: ServeResponse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login maria password hunter2\n")
    monkeypatch.setenv("NETRC", str(file))
    fixed_server = await serve_response(http_response(price_envelope()))
    await (await connect(fixed_server.url)).fetch_index_price("btc_usd")
    assert "Authorization" not in fixed_server.request_heads[-1]


async def test_client_closes_without_a_warning(
    redis: Redis, exchange: StandIn, tls_exchange: StandIn
) -> None:
    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, report: reported.append(report))
    for target in (exchange, tls_exchange):
        async with open_client(redis, target.api_url) as client:
            await client.fetch_index_price("btc_usd")
    gc.collect()  # a session or transport left open warns when it is collected
    assert not reported
