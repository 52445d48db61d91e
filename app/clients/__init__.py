"""What speaks to the outside; `open_exchanges` is the registry."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from app.clients.base import Exchange, RateLimiter
from app.clients.deribit.client import DeribitClient
from app.core.settings import Settings

if TYPE_CHECKING:
    from app.clients.transport import HttpAnswer, Transport


class LazyTransport:
    """Opens HTTP at the first request: an API asks no exchange, and aiohttp takes 9 MB."""

    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._stack = stack
        self._opened: Transport | None = None

    async def get(self, url: str, params: Mapping[str, str]) -> "HttpAnswer":
        """GET a URL.

        Raises:
            ExchangeError: no whole answer came.
        """
        if self._opened is None:  # opening does not wait, so that two can't open at once
            from app.clients.transport import open_transport  # noqa: PLC0415  # heavy

            self._opened = await self._stack.enter_async_context(open_transport(self._settings))
        return await self._opened.get(url, params)


@asynccontextmanager
async def open_exchanges(
    settings: Settings, gate: RateLimiter
) -> AsyncIterator[Mapping[str, Exchange]]:
    """Open a client for every exchange that the settings know; a process needs one of each."""
    async with AsyncExitStack() as stack:
        deribit = DeribitClient(settings, gate, LazyTransport(settings, stack))
        yield {deribit.name: deribit}


__all__ = ["DeribitClient", "Exchange", "RateLimiter", "open_exchanges"]
