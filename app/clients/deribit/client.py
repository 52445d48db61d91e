"""Deribit's public HTTP API v2 (docs.deribit.com), as far as an index recorder needs it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from app.clients.base import RateLimiter
from app.clients.deribit.chart import RANGES, read_chart
from app.clients.deribit.envelope import Envelope, parse_envelope
from app.clients.price_validation import require_price
from app.core.errors import (
    AnswerMalformed,
    AppError,
    BrokerUnavailable,
    EnvironmentMismatch,
    ExchangeError,
)
from app.core.metrics import EXCHANGE_REQUESTS, count
from app.core.settings import Settings
from app.domain.charts import Chart, ChartRange
from app.domain.prices import Quote, TickerKey

if TYPE_CHECKING:
    from app.clients import LazyTransport
    from app.clients.transport import HttpAnswer

T = TypeVar("T")


class DeribitClient:
    """Asks Deribit at the gate's pace."""

    def __init__(self, settings: Settings, gate: RateLimiter, transport: "LazyTransport") -> None:
        self.name = settings.deribit_name
        self.charts = RANGES
        self._base_url = settings.deribit_base_url
        self._is_testnet = self.name != "deribit"
        self._gate = gate
        self._transport = transport

    async def index_price(self, ticker: str) -> Quote:
        """Ask the present price of an index, stamped with the exchange's clock.

        Raises:
            ExchangeError: no usable answer; `retryable` tells whether to ask again.
            BrokerUnavailable: the gate can't tell whether it is our turn.
        """
        key = TickerKey(self.name, ticker)
        params = {"index_name": ticker}
        return await self._ask("get_index_price", params, partial(_read_quote, key))

    async def index_names(self) -> frozenset[str]:
        """Ask which indices exist; the answer holds names, or objects with a name.

        Raises:
            ExchangeError: no usable answer.
            BrokerUnavailable: the gate can't tell whether it is our turn.
        """
        return await self._ask("get_index_price_names", {}, _read_names)

    async def chart(self, ticker: str, chart_range: ChartRange) -> Chart:
        """Ask the chart of an index, giving way to whoever asks for a live price.

        Raises:
            ExchangeError: no usable answer; `retryable` tells whether to ask again.
            BrokerUnavailable: the gate can't tell whether it is our turn.
        """
        params = {"index_name": ticker, "range": chart_range.name}
        return await self._ask("get_index_chart_data", params, read_chart, low_priority=True)

    @contextmanager
    def _counted(self, method: str) -> Iterator[None]:
        """Count a request by its outcome; who was not admitted made none."""
        try:
            yield
        except AppError as error:
            count(EXCHANGE_REQUESTS, self.name, method, error.code)
            raise
        count(EXCHANGE_REQUESTS, self.name, method, "ok")

    async def _ask(
        self,
        method: str,
        params: dict[str, str],
        read: Callable[[Envelope], T],
        *,
        low_priority: bool = False,
    ) -> T:
        with ExitStack() as counting:
            async with self._gate.acquire(low_priority=low_priority):
                counting.enter_context(self._counted(method))
                answer = await self._transport.get(f"{self._base_url}/public/{method}", params)
            return read(await self._opened(answer))

    async def _opened(self, answer: "HttpAnswer") -> Envelope:
        """Take the envelope off an answer."""
        try:
            envelope = parse_envelope(answer)
        except ExchangeError as error:
            await self._keep_wait(error)
            raise
        self._require_environment(envelope)
        return envelope

    async def _keep_wait(self, error: ExchangeError) -> None:
        """Let every worker keep the wait that the exchange asks for."""
        if error.retryable and error.retry_after_seconds:
            with suppress(BrokerUnavailable):
                await self._gate.pause_requests(error.retry_after_seconds)

    def _require_environment(self, envelope: Envelope) -> None:
        if envelope.testnet is not None and envelope.testnet is not self._is_testnet:
            found = "testnet" if envelope.testnet else "production"
            raise EnvironmentMismatch(f"DERIBIT_BASE_URL gave {found} prices for {self.name!r}")


def _read_quote(key: TickerKey, envelope: Envelope) -> Quote:
    if envelope.observed_us is None:
        raise AnswerMalformed("an answer without usOut can't be placed in time")
    return Quote(key, _read_price(envelope), envelope.observed_us)


def _read_price(envelope: Envelope) -> Decimal:
    result = envelope.result
    return require_price(result.get("index_price") if isinstance(result, dict) else None)


def _read_names(envelope: Envelope) -> frozenset[str]:
    if not isinstance(envelope.result, list):
        raise AnswerMalformed("the index names are no list")
    return frozenset(map(_read_name, envelope.result))


def _read_name(item: object) -> str:
    name = item.get("name") if isinstance(item, dict) else item
    if not isinstance(name, str):
        raise AnswerMalformed("an index name that is no text")
    return name
