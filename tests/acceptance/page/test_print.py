"""The dashboard on paper: dark ink on white, and nothing cut off."""

import re

import pytest

from tests.acceptance.page.tab import Tab

pytestmark = [pytest.mark.accept, pytest.mark.asyncio(loop_scope="session")]

PAPER = {"width": 720, "height": 1040}
"""A4 at 96 pixels an inch, without its margins."""
_COLOURS = """
[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]
"""
_PICTURE = """
() => {
  const picture = document.querySelector("#chart-print canvas");
  const { width, height } = picture;
  const { data } = picture.getContext("2d").getImageData(0, 0, width, height);
  const sums = Array.from({ length: width * height }, (_, index) =>
    data[4 * index] + data[4 * index + 1] + data[4 * index + 2]);
  return {
    width: picture.width / devicePixelRatio,
    light: sums.filter(sum => sum > 700).length / sums.length,
    dark: sums.filter(sum => sum < 400).length,
  };
}
"""


async def _print(tab: Tab) -> None:
    """Prepare the page for paper, as the browser does: the chart hears of no new width."""
    await tab.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    await tab.page.emulate_media(media="print", color_scheme="dark")


async def test_page_prints_in_dark_ink_on_white(tab: Tab) -> None:
    await tab.emulate_scheme("dark")
    await tab.show()
    await _print(tab)
    ink, paper = [
        sum(map(int, re.findall(r"\d+", colour)[:3]))
        for colour in await tab.page.evaluate(_COLOURS)
    ]
    assert (ink < 200, paper) == (True, 3 * 255)


async def test_chart_prints_whole_and_light_from_a_dark_screen(tab: Tab) -> None:
    await tab.emulate_scheme("dark")
    await tab.show("?ticker=btc_usd&range=1d")
    width = await tab.page.evaluate("document.getElementById('chart').clientWidth")
    await _print(tab)
    picture = await tab.page.evaluate(_PICTURE)
    assert picture["width"] == pytest.approx(width, abs=2), "the axis of prices belongs to it"
    assert picture["light"] > 0.5
    assert picture["dark"] > 1000
    await tab.page.set_viewport_size(PAPER)  # type: ignore[arg-type]  # Playwright's own shape
    box = await tab.page.locator("#chart-print canvas").bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= PAPER["width"]
    assert await tab.page.is_hidden("#chart")
    assert await tab.page.evaluate("document.documentElement.scrollWidth") <= PAPER["width"]


async def test_paper_names_the_time_of_printing(tab: Tab) -> None:
    await tab.show()
    assert await tab.page.is_hidden("#printed")
    await _print(tab)
    words = await tab.page.inner_text("#printed")
    assert re.fullmatch(r"Printed \d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)? UTC", words)
    assert "ago" not in await tab.page.inner_text("#tickers")
    assert await tab.page.is_hidden("#summary"), "it counts the seconds to the next price"


async def test_screen_is_as_before_after_printing(tab: Tab) -> None:
    await tab.show("?ticker=btc_usd&range=1d")
    before = await tab.text("#legend")
    await _print(tab)
    await tab.page.emulate_media(media="screen")
    await tab.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert await tab.page.locator("#chart-print canvas").count() == 0
    assert await tab.page.is_visible("#chart")
    assert await tab.text("#legend") == before
