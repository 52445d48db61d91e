"""What speaks to the outside; `open_exchanges` is the registry."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from app.clients.base import Exchange, Gate
from app.clients.deribit import DeribitClient
from app.clients.transport import open_transport
from app.clients.webhook import open_webhook
from app.core.settings import Settings


@asynccontextmanager
async def open_exchanges(settings: Settings, gate: Gate) -> AsyncIterator[Mapping[str, Exchange]]:
    """Open a client for every exchange that the settings know; a process needs one of each."""
    async with open_transport(settings) as transport:
        deribit = DeribitClient(settings, gate, transport)
        yield {deribit.name: deribit}


__all__ = ["DeribitClient", "Exchange", "Gate", "open_exchanges", "open_webhook"]
