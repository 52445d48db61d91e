"""Clients of exchanges and of the webhook; `open_exchanges` creates those of the exchanges."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

from app.clients.base import Exchange
from app.clients.deribit.client import DeribitClient
from app.core.errors import SettingsError
from app.core.settings import Settings

if TYPE_CHECKING:
    from app.clients.transport import HttpResponse, Transport
    from app.redis.rate_limiter import DistributedRateLimiter


ExchangeFactory: TypeAlias = Callable[
    [Settings, "DistributedRateLimiter", "LazyTransport"], Exchange
]


class LazyTransport:
    """Opens HTTP at the first request: the API sends none, and aiohttp takes 9 MB."""

    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._stack = stack
        self._transport: Transport | None = None

    async def get(self, url: str, params: Mapping[str, str]) -> "HttpResponse":
        """GET a URL.

        Raises:
            ExchangeError: no complete response.
        """
        if self._transport is None:  # opening does not await, so it happens once
            from app.clients.transport import open_transport  # noqa: PLC0415  # heavy

            self._transport = await self._stack.enter_async_context(open_transport(self._settings))
        return await self._transport.get(url, params)


def known_exchanges(settings: Settings) -> Mapping[str, ExchangeFactory]:
    """Return the registry: a client of each exchange, by the name in the record."""
    return {settings.deribit_exchange_name: DeribitClient}


def require_known_exchanges(settings: Settings) -> None:
    """Check that there is a client of every exchange in `TICKERS`.

    Raises:
        SettingsError: there is none.
    """
    known = known_exchanges(settings)
    unknown = sorted({exchange for exchange, _ in settings.indices} - known.keys())
    if unknown:
        tickers = ",".join(settings.tickers)
        raise SettingsError(
            f"TICKERS={tickers}: unknown exchange {', '.join(unknown)}; known is {', '.join(known)}"
        )


@asynccontextmanager
async def open_exchanges(
    settings: Settings, rate_limiter_of: "Callable[[str], DistributedRateLimiter]"
) -> AsyncIterator[Mapping[str, Exchange]]:
    """Open a client of every exchange in `TICKERS`, by name; a process needs this once.

    `rate_limiter_of` returns the rate limiter of the named exchange.

    Raises:
        SettingsError: there is no client of one.
    """
    require_known_exchanges(settings)
    factories = known_exchanges(settings)
    async with AsyncExitStack() as stack:
        yield {
            name: factories[name](settings, rate_limiter_of(name), LazyTransport(settings, stack))
            for name in dict.fromkeys(exchange for exchange, _ in settings.indices)
        }
