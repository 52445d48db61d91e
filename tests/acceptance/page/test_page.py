"""The dashboard in a real browser, every other host cut off."""

import time

import pytest

from tests.acceptance.page.service import MINUTE, Service
from tests.acceptance.page.tab import Tab

pytestmark = [pytest.mark.accept, pytest.mark.asyncio(loop_scope="session")]

MAX_SECONDS_TO_THE_SCREEN = 2


async def test_page_is_whole_without_any_other_host(tab: Tab) -> None:
    """The tab fails its test for a console message, or for a request elsewhere."""
    await tab.show()
    assert (await tab.text("#summary-text")).startswith("collecting · next price")
    assert await tab.text("#collector-words")


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_page_is_accessible(tab: Tab, scheme: str) -> None:
    await tab.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    await tab.show()
    assert await tab.violations() == []
