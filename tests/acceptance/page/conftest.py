"""One browser and one service for every test of the dashboard."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import asyncpg
import pytest
import pytest_asyncio
from playwright.async_api import Browser
from redis.asyncio import Redis

from app.core.settings import Settings
from tests.acceptance.page.service import History, Service, running_service, store_history
from tests.acceptance.page.tab import DESKTOP, Tab, open_tab, running_browser
from tests.conftest import Servers
from tests.database_pool import DatabasePool


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with running_browser() as running:
        yield running


@dataclass(frozen=True)
class Recorded:
    """A service that has recorded for a year, and the history that it has."""

    service: Service
    history: History


@pytest.fixture(scope="session")
def recorded_name(database_pool: DatabasePool) -> Iterator[str]:
    """The name of the database that holds the history."""
    with database_pool.database() as name:
        yield name


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def recorded(
    servers: Servers, recorded_name: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Recorded]:
    async with Redis.from_url(servers.redis_url) as redis:
        await redis.flushdb()
    sql = await asyncpg.connect(servers.plain_url(recorded_name))
    history = await store_history(sql)
    settings = Settings(
        database_url=servers.database_url(recorded_name),
        redis_url=servers.redis_url,
        api_keys="right-key",
    )
    directory = tmp_path_factory.mktemp("recorded")
    async with running_service(settings, sql, directory) as service:
        yield Recorded(service, history)
    await sql.close()


@pytest.fixture
def service(recorded: Recorded) -> Service:
    return recorded.service


@pytest.fixture
def history(recorded: Recorded) -> History:
    return recorded.history


@pytest_asyncio.fixture(loop_scope="session")
async def tab(browser: Browser, service: Service) -> AsyncIterator[Tab]:
    """A tab on a desktop that may not complain; the service has every price until now."""
    await service.catch_up()
    async with open_tab(browser, service.url, **DESKTOP) as opened:
        yield opened
    assert opened.complaints == []
