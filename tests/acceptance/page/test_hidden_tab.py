"""A tab that nobody sees: it holds no stream, and catches up when it is shown."""

import time

import pytest

from tests.acceptance.page.service import HOUR, MINUTE, Service
from tests.acceptance.page.tab import Tab

pytestmark = [pytest.mark.accept, pytest.mark.asyncio(loop_scope="session")]

ROOM_RIGHT = 0.02
_NAMES_A_VIEW_UNTIL = """
Math.abs(document.getElementById("chart").dataset.to - {}) < 180
"""
_HIDE = """
isHidden => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => isHidden });
  document.dispatchEvent(new Event("visibilitychange"));
}
"""
"""Chromium without a screen never hides a tab by itself."""


async def _set_hidden(tab: Tab, *, is_hidden: bool) -> None:
    await tab.page.evaluate(_HIDE, is_hidden)


async def test_hidden_tab_closes_its_stream_and_asks_nothing(tab: Tab) -> None:
    async with tab.page.expect_response("**/prices/stream*"):
        await tab.show("?ticker=btc_usd")
    async with tab.page.expect_event("requestfailed", lambda r: "/stream" in r.url):
        await _set_hidden(tab, is_hidden=True)
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    await tab.page.clock.install()
    await tab.page.clock.run_for(MINUTE * 1000)
    assert asked == []
    async with tab.page.expect_response("**/prices/stream*"):
        await _set_hidden(tab, is_hidden=False)


@pytest.mark.parametrize("hours", [-3, 3])
async def test_chart_is_that_of_the_server_where_the_viewers_clock_is_wrong(
    tab: Tab, hours: int
) -> None:
    await tab.page.clock.install(time=time.time() + hours * HOUR)
    await tab.show("?ticker=btc_usd&range=1h")
    await tab.state("summary", "collecting")
    await tab.until(_NAMES_A_VIEW_UNTIL.format(time.time()))
    await tab.state("chart-section", "ready")


async def test_tab_that_slept_for_an_hour_catches_up(tab: Tab, service: Service) -> None:
    """Its clock stands still meanwhile, and nothing is loaded again."""
    now = time.time()
    hour_ago = (now - HOUR) // MINUTE * MINUTE
    await service.sql.execute("DELETE FROM prices WHERE timestamp > $1", int(hour_ago))
    await tab.page.clock.install(time=now - HOUR)
    await tab.show("?ticker=btc_usd&range=6h")
    await tab.state("summary", "stale")
    await _set_hidden(tab, is_hidden=True)
    await service.catch_up()
    await tab.page.clock.fast_forward(HOUR * 1000)
    await _set_hidden(tab, is_hidden=False)
    await tab.state("summary", "collecting")
    await tab.until(_NAMES_A_VIEW_UNTIL.format(now + 6 * HOUR * ROOM_RIGHT))
    await tab.until("document.getElementById('chart-words').textContent.includes('no gap')")
