"""A running exchange and a client that asks it."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from app.simulator import Exchange
from tests.simulator.client import Client


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    async with Exchange() as running_command:
        yield running_command


@pytest.fixture
async def client(exchange: Exchange) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session:
        yield Client(exchange, session)
