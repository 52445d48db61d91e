"""Clients of exchanges and of the webhook; `open_exchanges` creates those of the exchanges."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from app.clients.base import Exchange, RateLimiter
from app.clients.deribit.client import DeribitClient
from app.core.settings import Settings

if TYPE_CHECKING:
    from app.clients.transport import HttpResponse, Transport


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


@asynccontextmanager
async def open_exchanges(
    settings: Settings, rate_limiter: RateLimiter
) -> AsyncIterator[Mapping[str, Exchange]]:
    """Open a client of every configured exchange, by name; a process needs this once."""
    async with AsyncExitStack() as stack:
        deribit = DeribitClient(settings, rate_limiter, LazyTransport(settings, stack))
        yield {deribit.name: deribit}


__all__ = ["DeribitClient", "Exchange", "RateLimiter", "open_exchanges"]
