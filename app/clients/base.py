"""What the services need of an exchange, and what a client needs of its surroundings."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from app.domain.prices import Quote


class Exchange(Protocol):
    """An exchange whose index prices can be asked."""

    @property
    def name(self) -> str:
        """The name under which its prices are stored."""
        ...

    async def index_price(self, ticker: str) -> Quote:
        """Ask the present price of an index.

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


class Gate(Protocol):
    """Admits requests at the pace that all workers together may keep."""

    def admit(self) -> AbstractAsyncContextManager[None]:
        """Wait for a turn and hold a connection's place while the block runs."""
        ...
