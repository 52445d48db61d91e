"""The controls of the dashboard by keyboard, and what they say."""

import pytest

from tests.acceptance.page.service import MINUTE
from tests.acceptance.page.tab import Tab

pytestmark = [pytest.mark.accept, pytest.mark.asyncio(loop_scope="session")]

_FOCUSED = "document.activeElement.closest('#compare') && document.activeElement.localName"


async def test_comparison_is_chosen_by_keyboard(tab: Tab) -> None:
    await tab.show("?ticker=btc_usd&range=1d")
    await tab.page.focus("#compare summary")
    await tab.page.keyboard.press("Enter")
    await tab.page.keyboard.press("Tab")
    for is_compared in (True, False, True):
        await tab.page.keyboard.press("Space")
        await tab.until(
            f"location.search.includes('compare=eth_usd') === {str(is_compared).lower()}"
        )
        assert await tab.page.is_checked("#compare-list input") is is_compared
        assert await tab.page.evaluate(_FOCUSED) == "input", "the next key would go nowhere"
    await tab.page.keyboard.press("Escape")
    assert not await tab.page.evaluate("document.getElementById('compare').open")
    assert await tab.page.evaluate(_FOCUSED) == "summary"
    await tab.page.go_back()
    await tab.until("!document.querySelector('#compare-list input').checked")


async def test_copied_call_stays_named_until_another_text_is_shown(tab: Tab) -> None:
    await tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await tab.page.clock.install()
    await tab.show("?ticker=btc_usd")
    await tab.page.click("#collector-call summary")
    await tab.page.click("#collector-call .copy")
    await tab.until("document.querySelector('#collector-call .copy').textContent === 'copied'")
    assert (await tab.text("#announcer")).strip() == "copied"
    copied = await tab.page.evaluate("navigator.clipboard.readText()")
    assert copied == await tab.text("#collector-call code")
    await tab.page.clock.run_for(MINUTE * 1000 // 2)
    assert await tab.text("#collector-call .copy") == "copied"
    await tab.page.click("#collector-call button[value=pandas]")
    assert await tab.text("#collector-call .copy") == "copy"


async def test_same_words_are_announced_again(tab: Tab) -> None:
    await tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await tab.show("?ticker=btc_usd")
    await tab.page.click("#collector-call summary")
    texts = set()
    for _ in range(2):
        await tab.page.click("#collector-call .copy")
        await tab.until("document.getElementById('announcer').textContent.trim() === 'copied'")
        texts.add(await tab.text("#announcer"))
        await tab.page.wait_for_timeout(100)
    assert len(texts) == 2, "a screen reader reads out only a change"
