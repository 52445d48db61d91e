"""One request of a kind fails, as when the machine changes its network: nobody notices."""

import pytest
from playwright.async_api import Route

from tests.acceptance.page.tab import Tab

pytestmark = [pytest.mark.accept, pytest.mark.asyncio(loop_scope="session")]

SECONDS = 10
KINDS = {
    "tickers": "**/api/v1/tickers",
    "stream": "**/prices/stream*",
    "latest": "**/prices/latest*",
    "status": "**/api/v1/status",
    "candles": "**/prices/candles*interval=5m*",
    "last hour": "**/prices/candles*interval=1m*",
    "gaps": "**/coverage?ticker=btc_usd&from_dt=*&to_dt=*",
    "calendar": "**/coverage*by=day*",
    "past prices": "**/prices/period*",
}
_KEEP_STATES = """
window.seen = [];
new MutationObserver(changes => changes.forEach(({ target }) =>
  seen.push(`${target.id || target.className} ${target.dataset.state}`)
)).observe(document, { attributes: true, attributeFilter: ["data-state"], subtree: true });
"""
_IS_WHOLE = """
[...document.querySelectorAll(".ticker path")].every(one => one.getAttribute("d"))
  && document.querySelectorAll(".change[data-direction=none]").length === 0
  && document.getElementById("summary").dataset.state === "collecting"
"""


async def _fail_once(tab: Tab, pattern: str) -> list[str]:
    """Let the next request of a kind fail; return the addresses of those that did."""
    failed: list[str] = []

    async def abort(route: Route) -> None:
        failed.append(route.request.url)
        await route.abort("connectionreset")

    await tab.page.route(pattern, abort, times=1)
    return failed


async def _is_unnoticed(tab: Tab, failed: list[str]) -> bool:
    """Return whether a request failed, and no part of the page ever said so."""
    said = await tab.page.evaluate("seen.filter(one => /error|disconnected|stale/.test(one))")
    complaints = [one for one in tab.complaints if not one.startswith("Failed to load resource")]
    tab.complaints.clear()
    return (len(failed), said, complaints) == (1, [], [])


@pytest.mark.parametrize("kind", list(KINDS))
async def test_first_request_of_a_kind_fails(tab: Tab, kind: str) -> None:
    await tab.page.add_init_script(_KEEP_STATES)
    failed = await _fail_once(tab, KINDS[kind])
    await tab.goto("?ticker=btc_usd&range=1d")
    await tab.until_drawn()
    await tab.until(_IS_WHOLE, SECONDS)
    assert await _is_unnoticed(tab, failed)


async def test_stream_that_failed_is_opened_again(tab: Tab) -> None:
    await _fail_once(tab, KINDS["stream"])
    async with tab.page.expect_response(KINDS["stream"], timeout=1000 * SECONDS) as opening:
        await tab.show("?ticker=btc_usd&range=1d")
    assert (await opening.value).ok
    tab.complaints.clear()


async def test_later_question_for_the_status_fails(tab: Tab) -> None:
    await tab.page.add_init_script(_KEEP_STATES)
    await tab.show("?ticker=btc_usd&range=1d")
    failed = await _fail_once(tab, KINDS["status"])
    async with tab.page.expect_response(KINDS["status"], timeout=2000 * SECONDS):
        pass
    assert await _is_unnoticed(tab, failed)
