"""Clients of any address with a real rate limiter, and servers that send given bytes."""

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
from tests.clients.wire import Speaker
from tests.conftest import Servers

Connect: TypeAlias = Callable[..., Awaitable[Exchange]]
Speak: TypeAlias = Callable[..., Awaitable[Speaker]]


@asynccontextmanager
async def connected(redis: Redis, base_url: str, **more: object) -> AsyncIterator[Exchange]:
    """Open a client at a limiter that is wide open."""
    settings = Settings.model_validate({"deribit_base_url": base_url, **more})
    limiter = DistributedRateLimiter(redis, "test", rate=100_000, permits=100, lease_seconds=30)
    async with open_exchanges(settings, lambda _: limiter) as exchanges:
        yield exchanges[settings.deribit_name]
    await limiter.close()


@pytest.fixture
async def connect(redis: Redis) -> AsyncIterator[Connect]:
    """Open clients that the test's end closes."""
    async with AsyncExitStack() as stack:

        async def open_client(base_url: str, **more: object) -> Exchange:
            return await stack.enter_async_context(connected(redis, base_url, **more))

        yield open_client


@pytest.fixture
async def client(connect: Connect, exchange: StandIn) -> Exchange:
    return await connect(exchange.api_url)


@pytest.fixture
async def speak() -> AsyncIterator[Speak]:
    """Start servers that say given bytes to every request."""
    async with AsyncExitStack() as stack:

        async def start(answer: bytes, *, hangs_up: bool = False) -> Speaker:
            speaker = Speaker(answer=answer, hangs_up=hangs_up)
            await stack.enter_async_context(speaker.listening())
            return speaker

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
def servers_url(servers: Servers) -> str:
    """Where a process of its own finds Redis."""
    return servers.redis_url
