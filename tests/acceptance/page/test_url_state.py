"""The address holds what is shown: for reload, back and forward, and whoever it is sent to."""

import pytest

from tests.acceptance.page.chart_probe import view_of
from tests.acceptance.page.service import DAY, HOUR, History, iso
from tests.acceptance.page.tab import Tab

pytestmark = [pytest.mark.accept, pytest.mark.asyncio(loop_scope="session")]

ADDRESSES = [
    "?ticker=btc_usd&range=1d&kind=candles&zone=utc",
    "?ticker=eth_usd&range=1w&kind=line&zone=utc",
    "?ticker=btc_usd&range=6h&kind=candles&zone=local",
    "?ticker=btc_usd&range=1d&kind=line&zone=utc&compare=eth_usd",
    "?ticker=btc_usd&range=all&kind=candles&zone=utc",
]
_PRESSED = """
[...document.querySelectorAll("[aria-pressed=true], .ticker[aria-current]")]
  .map(one => one.value || one.dataset.key)
"""


async def _shown(tab: Tab) -> list[object]:
    """Return what is chosen, and the chart's interval and width in minutes."""
    view = await view_of(tab)
    pressed = await tab.page.evaluate(_PRESSED)
    return [await tab.query(), pressed, view.interval, round(view.seconds / 60)]


@pytest.mark.parametrize("address", ADDRESSES)
async def test_reload_shows_the_same(tab: Tab, address: str) -> None:
    await tab.show(address)
    before = await _shown(tab)
    assert before[0] == address
    await tab.reload()
    assert await _shown(tab) == before


async def test_range_chosen_by_hand_is_shown_again(tab: Tab, history: History) -> None:
    first = history.by_minute.start
    address = f"?ticker=btc_usd&range={iso(first)}..{iso(first + 4 * HOUR)}&kind=line&zone=utc"
    await tab.show(address)
    view = await view_of(tab)
    assert (view.first, view.stop) == (first, first + 4 * HOUR)
    await tab.page.focus("#chart")
    await tab.page.keyboard.press("Shift+ArrowLeft")
    await tab.until(f"!location.search.includes('{iso(first)}')")
    moved = await view_of(tab)
    assert moved.first == pytest.approx(first - 0.2 * 4 * HOUR, abs=120)
    await tab.until_drawn()
    before = await _shown(tab)
    await tab.reload()
    assert await _shown(tab) == before


async def test_back_and_forward_go_through_what_was_shown(tab: Tab) -> None:
    await tab.show("?ticker=btc_usd&range=1d")
    steps = [await tab.query()]
    for selector in (
        "#ranges button[value='6h']",
        "#kinds button[value=line]",
        ".ticker[data-key='deribit:eth_usd']",
    ):
        await tab.page.click(selector)
        await tab.until(f"location.search !== '{steps[-1]}'")
        steps.append(await tab.query())
    assert steps[-1] == "?ticker=eth_usd&range=6h&kind=line&zone=utc"
    for step in steps[-2::-1]:
        await tab.page.go_back()
        await tab.until(f"location.search === '{step}'")
    await tab.until("document.querySelector('#chart-call code').textContent.includes('btc_usd')")
    await tab.until("document.querySelector('#ranges [aria-pressed=true]').value === '1d'")
    for step in steps[1:]:
        await tab.page.go_forward()
        await tab.until(f"location.search === '{step}'")
    await tab.until("document.querySelector('#chart-call code').textContent.includes('eth_usd')")
    await tab.until("document.querySelector('#kinds [aria-pressed=true]').value === 'line'")


async def test_zone_is_switched_and_written(tab: Tab) -> None:
    """The browser of these tests is in Kathmandu, which is UTC+05:45."""
    await tab.show("?ticker=btc_usd&range=1d&zone=utc")
    utc = await tab.text("#export-range")
    assert " UTC" in utc
    await tab.page.select_option("#zone", "local")
    await tab.until("!document.getElementById('export-range').textContent.includes('UTC,')")
    assert "zone=local" in tab.page.url
    local = await tab.text("#export-range")
    assert (_minutes(local) - _minutes(utc)) % (24 * 60) in {5 * 60 + 45, 5 * 60 + 46}
    await tab.until("document.getElementById('legend').textContent.includes('+5:45')")


def _minutes(words: str) -> int:
    hours, minutes = words.split()[1].split(":")
    return int(hours) * 60 + int(minutes)


async def test_range_within_a_long_gap_offers_the_price_before(tab: Tab, history: History) -> None:
    lost = history.lost_days
    middle = lost[len(lost) // 2]
    await tab.goto(f"?ticker=btc_usd&range={iso(middle)}..{iso(middle + HOUR)}")
    await tab.state("chart-section", "nothing")
    nearest = iso(lost.start - HOUR)[:16].replace("T", " ")
    assert f"The nearest price is of {nearest} UTC." in await tab.text("#chart-state")


async def test_unknown_ticker_names_the_known_ones(tab: Tab) -> None:
    await tab.goto("?ticker=nope_usd")
    await tab.state("summary", "unknown")
    assert "There is no ticker nope_usd here" in await tab.text("#notice")
    assert await tab.violations() == []
    await tab.page.click("#notice a >> nth=0")
    await tab.state("chart-section", "ready")
    assert "ticker=btc_usd" in tab.page.url


async def test_range_without_prices_offers_the_nearest(tab: Tab, history: History) -> None:
    before = history.hourly.start - 30 * DAY
    await tab.goto(f"?ticker=btc_usd&range={iso(before)}..{iso(before + DAY)}")
    await tab.state("chart-section", "nothing")
    assert "Nothing is stored of" in await tab.text("#chart-state")
    assert await tab.violations() == []
    await tab.page.click("#nearest")
    await tab.state("chart-section", "ready")
    view = await view_of(tab)
    assert view.first <= history.hourly.start <= view.stop
