"""The API over real HTTP."""

from collections.abc import AsyncIterator

import pytest

from app.core.settings import Settings
from tests.api.client import ApiClient, running_api


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[ApiClient]:
    """The API with an empty database behind it."""
    async with running_api(settings) as client:
        yield client
