"""What the chart says follows each price that comes, and what a reader reads in it stays."""

import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.acceptance.page.chart_probe import called, plot_box, point_at, view_of
from tests.acceptance.page.service import HOUR, MINUTE, Service
from tests.acceptance.page.tab import PHONE, Tab, open_tab

pytestmark = [pytest.mark.accept, pytest.mark.asyncio(loop_scope="session")]

SECONDS = 5
HALF_A_LABEL = 18
HIGH = "654321.25"
HIGH_WORDS = "654,321.25"


@pytest_asyncio.fixture(loop_scope="session")
async def newest_slot(service: Service) -> AsyncIterator[int]:
    """A slot whose price comes during the test."""
    slot = int(time.time()) // MINUTE * MINUTE
    remove = "DELETE FROM prices WHERE ticker = 'btc_usd' AND timestamp >= $1"
    await service.sql.execute(remove, slot)
    yield slot
    await service.sql.execute(remove, slot)


async def _show_price(tab: Tab, service: Service, slot: int) -> None:
    """Store the price, and wait until its card shows it."""
    await service.commit_price("btc_usd", slot, HIGH)
    await tab.until(f"document.querySelector('.ticker .price').textContent === '{HIGH_WORDS}'")


async def test_words_and_calls_follow_each_price(
    newest_slot: int, tab: Tab, service: Service
) -> None:
    await service.sql.execute("DELETE FROM prices WHERE timestamp >= $1", newest_slot)
    await tab.show("?ticker=btc_usd&range=1d")
    await _show_price(tab, service, newest_slot)
    words = f"document.getElementById('chart-words').textContent.includes('{HIGH_WORDS}')"
    await tab.until(words, SECONDS)
    for panel in ("chart-call", "gaps-call", "export-call"):
        stop = int((await called(tab, panel))["to_dt"])
        assert newest_slot <= stop <= time.time() + 1, f"{panel} names a range until now"


async def test_bar_under_the_pointer_stays_named_while_prices_come(
    newest_slot: int, tab: Tab, service: Service
) -> None:
    await service.sql.execute("DELETE FROM prices WHERE timestamp >= $1", newest_slot)
    await tab.show("?ticker=btc_usd&range=6h")
    newest = await tab.text("#legend")
    await tab.page.mouse.move(*await point_at(tab, newest_slot - 3 * HOUR))
    await tab.until(f"document.getElementById('legend').textContent !== {newest!r}")
    read = await tab.text("#legend")
    await _show_price(tab, service, newest_slot)
    assert await tab.text("#legend") == read
    await tab.page.mouse.move(2, 2)
    await tab.until(f"document.getElementById('legend').textContent.includes('{HIGH_WORDS}')")


async def test_bar_read_by_keys_stays_named_while_prices_come(
    newest_slot: int, tab: Tab, service: Service
) -> None:
    await service.sql.execute("DELETE FROM prices WHERE timestamp >= $1", newest_slot)
    await tab.show("?ticker=btc_usd&range=6h")
    await tab.page.focus("#chart")
    for _ in range(3):
        await tab.page.keyboard.press("ArrowLeft")
    read = await tab.text("#legend")
    await _show_price(tab, service, newest_slot)
    assert await tab.text("#legend") == read
    await tab.page.keyboard.press("Escape")
    await tab.until(f"document.getElementById('legend').textContent.includes('{HIGH_WORDS}')")


@pytest.mark.parametrize("name", ["1h", "6h", "1w"])
async def test_last_label_has_room_on_a_phone(
    browser: Browser, service: Service, name: str
) -> None:
    await service.catch_up()
    async with open_tab(browser, service.url, **PHONE) as tab:
        await tab.show(f"?ticker=btc_usd&range={name}")
        view, box = await view_of(tab), await plot_box(tab)
        until = int((await called(tab))["to_dt"])
        assert (view.stop - until) / view.seconds * box["width"] >= HALF_A_LABEL
