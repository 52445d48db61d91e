"""The dashboard in a real browser, every other host cut off."""

import asyncio
import re
import time
from decimal import Decimal

import pytest
from playwright.async_api import Browser, Route

from tests.acceptance.page.service import MINUTE, History, Service, insert_prices
from tests.acceptance.page.tab import PHONE, Tab, open_tab

pytestmark = [pytest.mark.accept, pytest.mark.asyncio(loop_scope="session")]

MAX_SECONDS_TO_THE_SCREEN = 2
MAX_BYTES_OF_FIRST_LOAD = 120_000
_TRANSFERRED = """
[performance.getEntriesByType("navigation")[0], ...performance.getEntriesByType("resource")]
  .filter(one => !one.name.includes("/api/"))
  .reduce((sum, one) => sum + one.encodedBodySize, 0)
"""
_MOVING = """
[...document.querySelectorAll("*")].filter(one => {
  const { animationName, animationDuration, transitionDuration } = getComputedStyle(one);
  const isLong = value => parseFloat(value) > 0.01;
  return isLong(transitionDuration) || (animationName !== "none" && isLong(animationDuration));
}).map(one => one.outerHTML.slice(0, 80))
"""


async def test_page_is_whole_without_any_other_host(tab: Tab) -> None:
    """The tab fails its test for a console message, or for a request elsewhere."""
    await tab.show()
    assert (await tab.text("#summary-text")).startswith("collecting · next price")
    assert await tab.text("#collector-words")


async def test_collector_works_and_names_what_the_last_day_lacks(
    tab: Tab, history: History
) -> None:
    await tab.show()
    await tab.state("collector", "ok")
    words = await tab.text("#collector-words")
    said = re.fullmatch(r"Everything works now; (\d+) prices of the last day are missing\.", words)
    assert said is not None
    assert int(said[1]) >= len(history.removed_hour), "other tests remove prices too"
    assert f"{said[1]} missing" in await tab.text("#collector-facts [data-state=failing]")


async def test_collector_does_not_say_that_nothing_is_missing_while_nobody_can_count(
    tab: Tab, service: Service
) -> None:
    await tab.show()
    async with service.sql.transaction():
        await service.sql.execute("LOCK TABLE recordings")
        await tab.until(
            "document.getElementById('collector-facts').textContent.includes('last dayunknown')"
        )
        words = await tab.text("#collector-words")
        assert words == "Everything works now; the prices of the last day can't be counted."
        assert await tab.page.locator("#collector-facts [data-state=failing]").count() == 1


async def test_calendar_says_that_it_is_being_read(tab: Tab) -> None:
    answered = asyncio.Event()

    async def answer_later(route: Route) -> None:
        await answered.wait()
        await route.continue_()

    await tab.page.route("**/api/v1/coverage*", answer_later)
    await tab.goto()
    assert await tab.text("#coverage-words") == "Reading the calendar …"
    assert await tab.page.get_attribute("#coverage", "data-state") == "loading"
    answered.set()
    await tab.state("coverage", "ready")
    assert " live" in await tab.text("#coverage-words")


async def test_price_changes_without_a_reload(tab: Tab, service: Service) -> None:
    slot = int(time.time()) // MINUTE * MINUTE
    await service.sql.execute("DELETE FROM prices WHERE timestamp >= $1", slot)
    async with tab.page.expect_response("**/prices/stream*"):
        await tab.show("?ticker=btc_usd")
    await service.commit_price("btc_usd", slot, "123456.789012")
    committed = time.monotonic()
    await tab.until(
        "document.querySelector('.ticker[data-key=\"deribit:btc_usd\"] .price')"
        ".textContent === '123,456.789012'"
    )
    assert time.monotonic() - committed < MAX_SECONDS_TO_THE_SCREEN


async def test_price_is_stale_until_a_live_one_comes(tab: Tab, service: Service) -> None:
    """As /status says: a repaired price does not hide that none comes live."""
    slot = int(time.time()) // MINUTE * MINUTE
    await service.sql.execute("DELETE FROM prices WHERE timestamp > $1", slot - 5 * MINUTE)
    await insert_prices(service.sql, "btc_usd", [slot - MINUTE], [Decimal(5)], "backfill")
    async with tab.page.expect_response("**/prices/stream*"):
        await tab.show("?ticker=btc_usd")
    await tab.state("summary", "stale")
    assert "btc_usd, eth_usd: No new price for" in await tab.text("#notice")
    await service.commit_price("btc_usd", slot, "123456.789012")
    await service.commit_price("eth_usd", slot, "1234.5")
    await tab.state("summary", "collecting", MAX_SECONDS_TO_THE_SCREEN)
    # other tests count repaired and missing prices
    await service.sql.execute("DELETE FROM prices WHERE timestamp > $1", slot - 5 * MINUTE)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_page_is_accessible(tab: Tab, scheme: str) -> None:
    await tab.emulate_scheme(scheme)
    await tab.show()
    assert await tab.violations() == []


async def test_first_load_is_small(tab: Tab) -> None:
    """Page, styles, scripts and chart library, as they came over the network."""
    await tab.show()
    size = await tab.page.evaluate(_TRANSFERRED)
    assert 50_000 < size < MAX_BYTES_OF_FIRST_LOAD


async def test_phone_needs_no_scrolling_sideways(browser: Browser, service: Service) -> None:
    await service.catch_up()
    async with open_tab(browser, service.url, **PHONE) as tab:
        await tab.show("?ticker=btc_usd")
        for part in ("#chart-table summary", "#chart-call summary", "#compare summary"):
            await tab.page.tap(part)
        await tab.page.tap("#calendar .cell[tabindex='0']")
        await tab.page.wait_for_selector("#hours .cell")
        width = await tab.page.evaluate("document.documentElement.scrollWidth")
        assert width == PHONE["viewport"]["width"]
        assert await tab.violations() == []
        assert tab.complaints == []


async def test_nothing_moves_where_motion_is_reduced(tab: Tab) -> None:
    await tab.page.emulate_media(reduced_motion="reduce")
    await tab.show("?ticker=btc_usd")
    assert await tab.page.evaluate("document.getAnimations().length") == 0
    moving: list[str] = await tab.page.evaluate(_MOVING)
    assert moving == []
    assert await tab.violations() == []


async def test_call_behind_a_picture_gives_its_rows(tab: Tab) -> None:
    await tab.show("?ticker=btc_usd&range=1h")
    await tab.page.click("#chart-call summary")
    url = (await tab.text("#chart-call code")).split("'")[1]
    answer = await tab.page.request.get(url)
    assert answer.ok
    assert (await answer.json())["count"] > 0
    await tab.page.click("#chart-call button[value=pandas]")
    assert "pandas.DataFrame" in await tab.text("#chart-call code")


@pytest.mark.parametrize("file_format", ["csv", "ndjson", "parquet"])
async def test_range_on_the_screen_is_downloaded(tab: Tab, file_format: str) -> None:
    await tab.show("?ticker=btc_usd&range=1h")
    async with tab.page.expect_download() as loading:
        await tab.page.click(f"#export-links a[data-format={file_format}]")
    download = await loading.value
    assert download.suggested_filename.endswith(f".{file_format}")
    assert (await download.path()).stat().st_size > 500
