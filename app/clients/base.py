"""The protocol of a client: an exchange as services use it."""

from collections.abc import Sequence
from typing import Protocol

from app.domain.charts import Chart, ChartRange
from app.domain.prices import Quote


class Exchange(Protocol):
    """A client of one exchange's index prices."""

    @property
    def name(self) -> str:
        """The name under which its prices are stored."""

    @property
    def chart_ranges(self) -> Sequence[ChartRange]:
        """The ranges that `fetch_chart` takes, from the finest and shortest to the longest."""

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
        """Fetch the names of all indices.

        Raises:
            ExchangeError: no usable answer.
            BrokerUnavailable: the rate limiter does not answer.
        """
