"""What the dashboard says while processes are really stopped, and that it recovers by itself."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.acceptance.page.stoppable_service import INTERVAL, StoppableService, stoppable_service
from tests.acceptance.page.tab import DESKTOP, Tab, open_tab

pytestmark = [pytest.mark.accept, pytest.mark.asyncio(loop_scope="session")]

SECONDS = 60
UNAVOIDABLE = ("Failed to load resource",)
"""The browser itself reports each request that fails."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def service(directory: Path) -> AsyncIterator[StoppableService]:
    own = directory / "stoppable"
    await asyncio.to_thread(own.mkdir, mode=0o755)
    async with stoppable_service(own) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def tab(browser: Browser, service: StoppableService) -> AsyncIterator[Tab]:
    """A tab that was never loaded again when the test ends."""
    async with open_tab(browser, service.url, **DESKTOP) as opened:
        await opened.goto("?ticker=btc_usd&range=1h")
        await opened.page.evaluate("window.isFirstLoad = true")
        yield opened
        assert await opened.page.evaluate("window.isFirstLoad")
    assert [line for line in opened.complaints if not line.startswith(UNAVOIDABLE)] == []


async def collects(tab: Tab, service: StoppableService) -> None:
    """Wait until everything runs and the page says so."""
    await service.run_everything()
    await tab.state("summary", "collecting", SECONDS)
    await tab.state("chart-section", "ready", SECONDS)
    await tab.page.wait_for_selector(".ticker[data-state=fresh]")
    assert await tab.page.is_hidden("#notice")


async def says(tab: Tab, state: str, *words: str) -> None:
    """Wait for a state and its sentence; axe finds nothing wrong with it."""
    await tab.state("summary", state, SECONDS)
    for part in words:
        await tab.until(f"document.getElementById('notice').textContent.includes({part!r})", 30)
    for scheme in ("light", "dark"):
        await tab.emulate_scheme(scheme)
        assert await tab.violations() == []


async def test_first_price_ends_the_empty_state(tab: Tab, service: StoppableService) -> None:
    await service.forget_everything()
    await tab.page.reload()
    await tab.page.evaluate("window.isFirstLoad = true")
    await says(tab, "empty", "The first one comes with the next full interval")
    await service.run_everything()
    await tab.state("summary", "collecting", SECONDS)
    await tab.state("chart-section", "ready", 3 * INTERVAL)
    assert await tab.text(".ticker[data-key='deribit:btc_usd'] .price") != ""


async def test_prices_are_stale_while_no_worker_runs(tab: Tab, service: StoppableService) -> None:
    await collects(tab, service)
    await service.stop_worker()
    await says(tab, "stale", "No new price for")
    assert await tab.page.locator(".ticker[data-state=stale]").count() == 2
    await collects(tab, service)


async def test_reason_is_named_while_the_exchange_is_away(
    tab: Tab, service: StoppableService
) -> None:
    await collects(tab, service)
    await service.stop_exchange()
    await says(tab, "stale", "No new price for", "the exchange can't be reached")
    await collects(tab, service)


async def test_prices_are_shown_while_the_server_is_away(
    tab: Tab, service: StoppableService
) -> None:
    await collects(tab, service)
    await service.stop_api()
    await says(tab, "disconnected", "This page lost the server", "What you see is from")
    assert await tab.page.locator(".ticker[data-state=disconnected]").count() == 2
    assert await tab.text(".ticker .price") != ""
    await collects(tab, service)


async def test_database_is_named_while_it_is_away(tab: Tab, service: StoppableService) -> None:
    await collects(tab, service)
    await service.postgres.stop()
    await says(tab, "error", "The server has trouble")
    await service.postgres.start()
    await collects(tab, service)
    await tab.state("coverage", "ready", SECONDS)
    await tab.state("collector", "ok", SECONDS)


async def test_page_that_opens_without_a_database_recovers(
    tab: Tab, service: StoppableService
) -> None:
    await collects(tab, service)
    await service.postgres.stop()
    await tab.goto()
    await tab.page.evaluate("window.isFirstLoad = true")
    await says(tab, "error", "The server has trouble")
    await service.postgres.start()
    await collects(tab, service)


async def test_broker_is_named_while_it_is_away(tab: Tab, service: StoppableService) -> None:
    await collects(tab, service)
    await service.valkey.stop()
    await tab.state("collector", "failing", SECONDS)
    await says(tab, "stale", "No new price for")
    await service.valkey.start()
    await collects(tab, service)
    await tab.state("collector", "ok", SECONDS)
