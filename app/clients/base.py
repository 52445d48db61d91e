"""The protocol of a client: an exchange as services use it."""

from collections.abc import Sequence
from typing import Protocol

from app.domain.charts import Chart, ChartRange
from app.domain.prices import Quote


class Exchange(Protocol):
    """A client of one exchange's index prices.

    Each request takes a permit of the rate limiter that the client is given, and is counted in
    `EXCHANGE_REQUESTS` once it has one; a chart's permit has a low priority. If the exchange asks
    to wait, the client pauses the limiter for so long. `deribit/client.py` shows all of it.
    """

    @property
    def name(self) -> str:
        """The name under which its prices are stored."""

    @property
    def chart_ranges(self) -> Sequence[ChartRange]:
        """The ranges that `fetch_chart` takes, from the finest and shortest to the longest.

        Empty for an exchange without charts: its gaps stay pending, because nothing can fill them.
        """

    async def fetch_index_price(self, ticker: str) -> Quote:
        """Fetch the current price of an index.

        Raises:
            ExchangeError: no usable answer; `retryable` says whether a retry may help.
            BrokerUnavailable: the rate limiter does not answer.
        """

    async def fetch_chart(self, ticker: str, chart_range: ChartRange) -> Chart:
        """Fetch the chart of an index, with a lower priority than live prices.

        Raises:
            ExchangeError: no usable answer; `retryable` says whether a retry may help.
            BrokerUnavailable: the rate limiter does not answer.
        """

    async def fetch_index_names(self) -> frozenset[str]:
        """Fetch the names of all indices; a configured ticker that is not among them is reported.

        Raises:
            ExchangeError: no usable answer.
            BrokerUnavailable: the rate limiter does not answer.
        """
