"""Deribit's public HTTP API v2 (docs.deribit.com), as far as an index recorder needs it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

from app.clients.deribit.chart import CHART_RANGES, parse_chart
from app.clients.deribit.json_rpc import Envelope, parse_envelope
from app.clients.price_parsing import parse_price
from app.core.errors import (
    AnswerMalformed,
    AppError,
    BrokerUnavailable,
    EnvironmentMismatch,
    ExchangeError,
)
from app.core.metrics import EXCHANGE_REQUEST_SECONDS, EXCHANGE_REQUESTS, count, observe
from app.core.settings import Settings
from app.domain.charts import Chart, ChartRange
from app.domain.prices import Quote, TickerKey

if TYPE_CHECKING:
    from app.clients import LazyTransport
    from app.clients.transport import HttpResponse
    from app.redis.rate_limiter import DistributedRateLimiter

T = TypeVar("T")


class DeribitClient:
    """A client of Deribit; each request needs a permit of the rate limiter."""

    def __init__(
        self, settings: Settings, rate_limiter: "DistributedRateLimiter", transport: "LazyTransport"
    ) -> None:
        self.name = settings.deribit_exchange_name
        self.chart_ranges = CHART_RANGES
        self._base_url = settings.deribit_base_url
        self._is_testnet = self.name != "deribit"
        self._rate_limiter = rate_limiter
        self._transport = transport

    async def fetch_index_price(self, ticker: str) -> Quote:
        """Fetch the current price of an index, with a timestamp of the exchange's clock.

        Raises:
            ExchangeError: no usable answer; `retryable` says whether a retry may help.
            BrokerUnavailable: the rate limiter does not answer.
        """
        key = TickerKey(self.name, ticker)
        params = {"index_name": ticker}
        return await self._request("get_index_price", params, partial(_parse_quote, key))

    async def fetch_index_names(self) -> frozenset[str]:
        """Fetch the names of all indices; the response holds names, or objects with a name.

        Raises:
            ExchangeError: no usable answer.
            BrokerUnavailable: the rate limiter does not answer.
        """
        return await self._request("get_index_price_names", {}, _parse_names)

    async def fetch_chart(self, ticker: str, chart_range: ChartRange) -> Chart:
        """Fetch the chart of an index, with a lower priority than live prices.

        Raises:
            ExchangeError: no usable answer; `retryable` says whether a retry may help.
            BrokerUnavailable: the rate limiter does not answer.
        """
        params = {"index_name": ticker, "range": chart_range.name}
        return await self._request("get_index_chart_data", params, parse_chart, low_priority=True)

    @contextmanager
    def _count_outcome(self, method: str) -> Iterator[None]:
        """Count and time one request; its outcome is "ok" or an error code."""
        started_at = perf_counter()
        try:
            yield
        except AppError as error:
            self._count(method, error.code, perf_counter() - started_at)
            raise
        self._count(method, "ok", perf_counter() - started_at)

    def _count(self, method: str, outcome: str, seconds: float) -> None:
        count(EXCHANGE_REQUESTS, self.name, method, outcome)
        observe(EXCHANGE_REQUEST_SECONDS, seconds, self.name, method)

    async def _request(
        self,
        method: str,
        params: dict[str, str],
        parse: Callable[[Envelope], T],
        *,
        low_priority: bool = False,
    ) -> T:
        async with self._rate_limiter.acquire(low_priority=low_priority):
            with self._count_outcome(method):
                response = await self._transport.get(f"{self._base_url}/public/{method}", params)
                return parse(await self._parse_envelope(response))

    async def _parse_envelope(self, response: "HttpResponse") -> Envelope:
        """Parse a response's envelope, and pause all requests if the exchange asks to wait."""
        try:
            envelope = parse_envelope(response)
        except ExchangeError as error:
            await self._pause_if_asked(error)
            raise
        self._require_environment(envelope)
        return envelope

    async def _pause_if_asked(self, error: ExchangeError) -> None:
        """Pause the requests of all workers for as long as the exchange asks to wait."""
        if error.retryable and error.retry_after_seconds:
            with suppress(BrokerUnavailable):
                await self._rate_limiter.pause_requests(error.retry_after_seconds)

    def _require_environment(self, envelope: Envelope) -> None:
        if envelope.testnet is not None and envelope.testnet is not self._is_testnet:
            actual = "testnet" if envelope.testnet else "production"
            raise EnvironmentMismatch(f"DERIBIT_BASE_URL gave {actual} prices for {self.name!r}")


def _parse_quote(key: TickerKey, envelope: Envelope) -> Quote:
    if envelope.observed_us is None:
        raise AnswerMalformed("an answer without usOut can't be placed in time")
    result = envelope.result
    price = parse_price(result.get("index_price") if isinstance(result, dict) else None)
    return Quote(key, price, envelope.observed_us)


def _parse_names(envelope: Envelope) -> frozenset[str]:
    if not isinstance(envelope.result, list):
        raise AnswerMalformed("the index names are no list")
    return frozenset(map(_parse_name, envelope.result))


def _parse_name(item: object) -> str:
    name = item.get("name") if isinstance(item, dict) else item
    if not isinstance(name, str):
        raise AnswerMalformed("an index name that is no text")
    return name
