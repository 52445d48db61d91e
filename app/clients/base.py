"""What the services need of an exchange, and what a client needs of its surroundings."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from app.domain.charts import Chart, ChartRange
from app.domain.prices import Quote


class Exchange(Protocol):
    """An exchange whose index prices can be asked."""

    @property
    def name(self) -> str:
        """The name under which its prices are stored."""
        ...

    @property
    def charts(self) -> Sequence[ChartRange]:
        """How far back it can be asked, the finest first; the last reaches the farthest."""
        ...

    async def index_price(self, ticker: str) -> Quote:
        """Ask the present price of an index.

        Raises:
            ExchangeError: no usable answer; `retryable` tells whether to ask again.
            BrokerUnavailable: the gate can't tell whether it is our turn.
        """
        ...

    async def chart(self, ticker: str, chart_range: ChartRange) -> Chart:
        """Ask the chart of an index over a range of `charts`, giving way to live prices.

        Raises:
            ExchangeError: no usable answer; `retryable` tells whether to ask again.
            BrokerUnavailable: the gate can't tell whether it is our turn.
        """
        ...

    async def index_names(self) -> frozenset[str]:
        """Ask which indices exist.

        Raises:
            ExchangeError: no usable answer.
            BrokerUnavailable: the gate can't tell whether it is our turn.
        """
        ...


class RateLimiter(Protocol):
    """Admits requests at the pace that all workers together may keep."""

    def acquire(self, *, low_priority: bool = False) -> AbstractAsyncContextManager[None]:
        """Wait for a turn and hold a connection's place while the block runs.

        Who gives way leaves half of what may be had to the others, and lets them go first.
        """
        ...

    async def pause_requests(self, seconds: float) -> None:
        """Admit nobody, in any process, for so long."""
        ...
