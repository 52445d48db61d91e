"""Clients with a real rate limiter, and servers that send given bytes."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeAlias

import aiohttp.connector
import pytest
from redis.asyncio import Redis

from app.clients import open_exchanges
from app.clients.base import Exchange
from app.core.settings import Settings
from app.redis.rate_limiter import DistributedRateLimiter
from app.simulator import Exchange as StandIn
from app.simulator import ExchangeOptions
from tests.clients.certificates import Certificate, make_certificate
from tests.clients.socket_servers import FixedResponseServer
from tests.conftest import Servers

Connect: TypeAlias = Callable[..., Awaitable[Exchange]]
ServeResponse: TypeAlias = Callable[..., Awaitable[FixedResponseServer]]


@asynccontextmanager
async def open_client(redis: Redis, base_url: str, **more: object) -> AsyncIterator[Exchange]:
    """Open a client whose rate limiter never delays a request."""
    settings = Settings.model_validate({"deribit_base_url": base_url, **more})
    limiter = DistributedRateLimiter(redis, "test", rate=100_000, permits=100, lease_seconds=30)
    async with open_exchanges(settings, lambda _: limiter) as exchanges:
        yield exchanges[settings.deribit_exchange_name]
    await limiter.close()


@pytest.fixture
async def connect(redis: Redis) -> AsyncIterator[Connect]:
    """Opens clients, which are closed at the end of the test."""
    async with AsyncExitStack() as stack:

        async def connect_client(base_url: str, **more: object) -> Exchange:
            return await stack.enter_async_context(open_client(redis, base_url, **more))

        yield connect_client


@pytest.fixture
async def client(connect: Connect, exchange: StandIn) -> Exchange:
    return await connect(exchange.api_url)


@pytest.fixture
async def serve_response() -> AsyncIterator[ServeResponse]:
    """Starts servers that send given bytes to every request."""
    async with AsyncExitStack() as stack:

        async def start(answer: bytes, *, closes_connection: bool = False) -> FixedResponseServer:
            fixed_server = FixedResponseServer(answer=answer, closes_connection=closes_connection)
            await stack.enter_async_context(fixed_server.listening())
            return fixed_server

        yield start


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate that this process trusts, as SSL_CERT_FILE at its start would have it."""
    files = make_certificate(tmp_path_factory.mktemp("tls"))
    trusted = aiohttp.connector._SSL_CONTEXT_VERIFIED  # what aiohttp made at import
    assert trusted is not None
    trusted.load_verify_locations(files.certificate)
    return files


@pytest.fixture
async def tls_exchange(certificate: Certificate) -> AsyncIterator[StandIn]:
    options = ExchangeOptions(tls_cert=certificate.certificate, tls_key=certificate.key)
    async with StandIn(options) as running:
        yield running


@pytest.fixture
def redis_url(servers: Servers) -> str:
    """The URL of Redis, for processes and threads of a test."""
    return servers.redis_url
