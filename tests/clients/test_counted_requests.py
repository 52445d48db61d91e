"""Requests to an exchange are counted where they are made, and nowhere else."""

from collections.abc import AsyncIterator

import pytest

from app.clients import open_exchanges
from app.clients.base import Exchange
from app.core.errors import BrokerUnavailable, ExchangeRateLimited, ExchangeUnavailable
from app.core.metrics import EXCHANGE_REQUESTS, drain
from app.core.settings import Settings
from app.redis.rate_limiter import DistributedRateLimiter
from app.simulator import Exchange as StandIn
from tests.clients.rate_limiters import MakeLimiter, TcpRelay, open_limiters
from tests.conftest import Servers


@pytest.fixture
async def make_limiter(servers: Servers) -> AsyncIterator[MakeLimiter]:
    async with open_limiters(servers.redis_url) as make:
        yield make


def _count_requests() -> list[tuple[str, ...]]:
    return [sample.values for sample in drain() if sample.metric == EXCHANGE_REQUESTS.name]


async def _expect_failure(
    limiter: DistributedRateLimiter, exchange: StandIn, error: type[Exception]
) -> None:
    settings = Settings.model_validate({"deribit_base_url": exchange.api_url})
    async with open_exchanges(settings, lambda _: limiter) as exchanges:
        with pytest.raises(error):
            await exchanges[settings.deribit_exchange_name].fetch_index_price("btc_usd")


async def test_request_that_was_made_is_counted_by_its_outcome(
    client: Exchange, exchange: StandIn
) -> None:
    drain()
    await client.fetch_index_price("btc_usd")
    assert _count_requests() == [("deribit", "get_index_price", "ok")]
    exchange.add_fault("html", times=1)
    with pytest.raises(ExchangeUnavailable):
        await client.fetch_index_price("btc_usd")
    assert _count_requests() == [("deribit", "get_index_price", "exchange_unavailable")]


async def test_request_that_a_wait_holds_off_is_not_counted(
    make_limiter: MakeLimiter, exchange: StandIn
) -> None:
    limiter = make_limiter()
    await limiter.pause_requests(3600)
    drain()
    await _expect_failure(limiter, exchange, ExchangeRateLimited)
    assert (_count_requests(), len(exchange.requests)) == ([], 0)


async def test_request_that_an_absent_redis_holds_off_is_not_counted(
    make_limiter: MakeLimiter, servers: Servers, exchange: StandIn
) -> None:
    relay = TcpRelay(servers.redis_url)
    await relay.open()
    await relay.cut()
    drain()
    await _expect_failure(make_limiter(relay.url), exchange, BrokerUnavailable)
    assert (_count_requests(), len(exchange.requests)) == ([], 0)
