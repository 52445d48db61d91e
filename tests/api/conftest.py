"""The API over real HTTP."""

from collections.abc import AsyncIterator

import pytest

from app.core.settings import Settings
from tests.api.client import Api, serving


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[Api]:
    """The API with an empty database behind it."""
    async with serving(settings) as serves:
        yield serves
