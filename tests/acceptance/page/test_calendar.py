"""The calendar in a real browser: its cells are the API's numbers, and open by keyboard."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Route

from tests.acceptance.page.chart_probe import view_of
from tests.acceptance.page.service import DAY, HOUR, MINUTE, History, Service, iso
from tests.acceptance.page.tab import Tab
from tests.api.client import open_api_client

pytestmark = [pytest.mark.accept, pytest.mark.asyncio(loop_scope="session")]

_BTC = ".ticker[data-key='deribit:btc_usd']"
CELLS = """
selector => Object.fromEntries([...document.querySelectorAll(selector)]
  .map(cell => [cell.dataset.at, cell.dataset.state]))
"""


@asynccontextmanager
async def _answered_last(tab: Tab, pattern: str) -> AsyncIterator[None]:
    """Hold the answers to some requests back until the block ends; the page has read them then."""
    released = asyncio.Event()

    async def answer(route: Route) -> None:
        await released.wait()
        await route.continue_()

    async with tab.page.expect_request(pattern):
        await tab.page.route(pattern, answer)
        yield
    async with tab.page.expect_response(pattern) as answering:
        released.set()
    await (await answering.value).finished()
    await tab.page.evaluate("fetch(location.href).then(later => later.text())")


async def _states(service: Service, first: int, stop: int, by: str) -> dict[str, str]:
    """Return the state of each day or hour as the API counts it."""
    query = f"ticker=btc_usd&from_dt={first}&to_dt={stop - 1}&by={by}"
    async with open_api_client(service.url) as api:
        items = (await api.get(f"/api/v1/coverage?{query}")).json()["items"]
    return {str(item["timestamp"]): _state(item) for item in items}


def _state(item: dict[str, int]) -> str:
    if not item["expected"]:
        return "none"
    if item["missing"]:
        return "missing"
    return "repaired" if item["backfilled"] else "whole"


async def _cells(tab: Tab, selector: str) -> dict[str, str]:
    cells: dict[str, str] = await tab.page.evaluate(CELLS, selector)
    return {at: state for at, state in cells.items() if state != "future"}


async def test_cells_equal_the_coverage(tab: Tab, service: Service, history: History) -> None:
    await tab.show("?ticker=btc_usd")
    cells = await _cells(tab, "#calendar .cell")
    first, last = min(map(int, cells)), max(map(int, cells))
    assert (len(cells), last) == ((last - first) // DAY + 1, history.now // DAY * DAY)
    counted = await _states(service, first, last + DAY, "day")
    assert cells == {at: counted.get(at, "none") for at in cells}
    assert set(counted.values()) == {"whole", "repaired", "missing"}
    assert cells[str(history.lost_days.start)] == "missing"


async def test_words_name_the_ticker_and_what_becomes_of_every_price(
    tab: Tab, history: History
) -> None:
    await tab.show("?ticker=btc_usd")
    assert await tab.text("#coverage-title") == "Coverage of btc_usd"
    words = await tab.text("#coverage-words")
    for part in (" live ", " 60 repaired ", "108 missing: 48 await a requested", "60 can't be rep"):
        assert part in words
    day = tab.page.locator(f"#calendar .cell[data-at='{history.repaired_hour.start}']")
    assert "all 1,440 prices, 1,380 live, 60 repaired" in (await day.get_attribute("title") or "")
    await tab.page.click(".ticker[data-key='deribit:eth_usd']")
    await tab.until("document.getElementById('coverage-title').textContent.endsWith('eth_usd')")


async def test_click_on_a_day_shows_it_in_the_chart(
    tab: Tab, service: Service, history: History
) -> None:
    day = history.repaired_hour.start
    await tab.show("?ticker=btc_usd")
    await tab.page.click(f"#calendar .cell[data-at='{day}']")
    await tab.page.wait_for_selector("#hours .cell")
    assert await _cells(tab, "#hours .cell") == await _states(service, day, day + DAY, "hour")
    await tab.until(f"document.querySelector('#chart-call code').textContent.includes('{day}')")
    view = await view_of(tab)
    assert (view.first, view.stop) == (day, day + DAY)
    await tab.page.click(f"#hours .cell[data-at='{day}']")
    await tab.page.wait_for_selector("#hour .cell")
    assert await tab.page.locator("#hour .cell[data-state=repaired]").count() == HOUR // MINUTE
    before = await tab.page.get_attribute("#hours .cell", "title")
    await tab.page.select_option("#zone", "local")
    await tab.until(f"document.querySelector('#hours .cell').title !== {before!r}")
    assert await tab.page.locator("#hour .cell").count() == HOUR // MINUTE, "it was closed"
    assert await tab.text("#day h3") == f"btc_usd on {iso(day)[:10]} UTC, by the hour"


async def test_click_on_a_removed_hour_offers_the_nearest_price(tab: Tab, history: History) -> None:
    hour = history.removed_hour.start
    await tab.show("?ticker=btc_usd")
    await tab.page.click(f"#calendar .cell[data-at='{hour // DAY * DAY}']")
    await tab.page.click(f"#hours .cell[data-at='{hour}']")
    await tab.state("chart-section", "nothing")
    said = await tab.text("#chart-state")
    assert "It is a gap: the exchange's chart is too coarse there." in said
    nearest = iso(hour - MINUTE)[:16].replace("T", " ")
    assert f"The nearest price is of {nearest} UTC." in said
    await tab.until("document.getElementById('legend').textContent === ''")
    await tab.page.click("#nearest")
    await tab.state("chart-section", "ready")


async def test_late_answer_of_a_ticker_left_for_an_unknown_one_is_not_drawn(tab: Tab) -> None:
    await tab.goto("?ticker=nosuch")
    await tab.state("summary", "unknown")
    async with _answered_last(tab, "**/coverage?ticker=btc_usd&*by=day*"):
        await tab.page.click(_BTC)
        await tab.state("summary", "collecting")
        await tab.page.go_back()
        await tab.state("summary", "unknown")
    assert (await tab.text("#coverage-note")).startswith("No calendar without a ticker")
    assert await tab.page.get_attribute("#coverage", "data-state") == "error"


async def test_late_answer_of_a_ticker_is_not_drawn_over_the_day_of_another(
    tab: Tab, history: History
) -> None:
    removed = history.removed_hour
    day = f"#calendar .cell[data-at='{removed.start // DAY * DAY}']"
    await tab.show("?ticker=btc_usd")
    async with _answered_last(tab, "**/coverage?ticker=btc_usd&*by=hour*"):
        await tab.page.click(day)
        await _go_to_eth(tab)
        await tab.page.click(day)
        await tab.until("document.querySelector('#day h3')?.textContent.startsWith('eth_usd on')")
    assert (await tab.text("#day h3")).startswith("eth_usd on")


async def test_late_answer_of_a_ticker_is_not_drawn_over_the_hour_of_another(
    tab: Tab, history: History
) -> None:
    removed = history.removed_hour
    day = f"#calendar .cell[data-at='{removed.start // DAY * DAY}']"
    hour = f"#hours .cell[data-at='{removed.start}']"
    await tab.show("?ticker=btc_usd")
    async with _answered_last(tab, f"**/prices/period?ticker=btc_usd&from_dt={removed.start}&*"):
        await tab.page.click(day)
        await tab.page.click(hour)
        await _go_to_eth(tab)
        await tab.page.click(day)
        await tab.page.click(hour)
        await tab.page.wait_for_selector("#hour .cell[data-state=whole]")
    assert await tab.page.locator("#hour .cell[data-state=whole]").count() == len(removed)


async def _go_to_eth(tab: Tab) -> None:
    await tab.page.click(".ticker[data-key='deribit:eth_usd']")
    await tab.until("document.getElementById('coverage-title').textContent.endsWith('eth_usd')")


async def test_keyboard_reaches_and_opens_cells(tab: Tab) -> None:
    await tab.show("?ticker=btc_usd")
    await tab.page.focus("#chart-keys ~ .under summary >> nth=-1")
    for _ in range(20):
        await tab.page.keyboard.press("Tab")
        if await tab.page.evaluate("document.activeElement.matches('#calendar .cell')"):
            break
    today = int(await _focused(tab))
    for key, step in (("ArrowLeft", -7), ("ArrowUp", -1), ("PageUp", -28), ("ArrowRight", 7)):
        await tab.page.keyboard.press(key)
        assert int(await _focused(tab)) - today == step * DAY
        today = int(await _focused(tab))
    await tab.page.keyboard.press("Enter")
    await tab.page.wait_for_selector("#hours .cell")
    await tab.page.focus("#hours .cell[tabindex='0']")
    await tab.page.keyboard.press("ArrowRight")
    assert int(await _focused(tab)) == today + HOUR
    await tab.page.keyboard.press("Space")
    await tab.page.wait_for_selector("#hour .cell")
    assert await tab.violations() == []


async def _focused(tab: Tab) -> str:
    at: str = await tab.page.evaluate("document.activeElement.dataset.at ?? ''")
    return at
