"""The chart in a real browser: every range and kind, zoom and pan, gaps, and how fast it is."""

import json
import time
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Browser, Response

from tests.acceptance.page.chart_probe import count_pixels, plot_box, point_at, view_of
from tests.acceptance.page.service import DAY, HOUR, MINUTE, History, Service, iso
from tests.acceptance.page.tab import PHONE, Tab, open_tab
from tests.api.client import open_api_client

pytestmark = [pytest.mark.accept, pytest.mark.asyncio(loop_scope="session")]

SECONDS = {"1h": HOUR, "6h": 6 * HOUR, "1d": DAY, "1w": 7 * DAY, "1m": 30 * DAY, "1y": 365 * DAY}
MIN_PIXELS = 60
ROOM_RIGHT = 1.02
LOADS = 4
INTERVALS = {"1h": "5m", "6h": "5m", "1d": "5m", "1w": "30m", "1m": "4h"}
COLOURS = {"candles": ("--rise", "--fall"), "line": ("--accent",)}

_KEEP_DRAWN_WORDS = """
globalThis.drawnWords = [];
const fillText = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (words, ...rest) {
  drawnWords.push(words);
  return fillText.call(this, words, ...rest);
};
"""
"""Keeps what is written on a canvas, such as the labels of the chart's axis."""

_TWO_FRAMES = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def candles_of(response: Response) -> dict[str, str]:
    """Return the parameters of a request for candles."""
    return {name: values[0] for name, values in parse_qs(urlsplit(response.url).query).items()}


def asks_for_candles(response: Response) -> bool:
    return "/prices/candles?" in response.url and response.ok


@pytest.mark.parametrize("kind", ["candles", "line"])
async def test_every_range_draws(tab: Tab, kind: str) -> None:
    await tab.show("?ticker=btc_usd&range=1d")
    await tab.page.click(f"#kinds button[value={kind}]")
    for name in [*SECONDS, "all"]:
        async with tab.page.expect_response(asks_for_candles):
            await tab.page.click(f"#ranges button[value='{name}']")
        await tab.until(f"location.search.includes('range={name}&kind={kind}')")
        seconds = SECONDS.get(name, 0)
        await tab.until(_names_a_view_of(seconds))
        await tab.state("chart-section", "ready")
        assert (await view_of(tab)).interval == INTERVALS.get(name, "1d") or kind == "line"
        for token in COLOURS[kind]:
            assert await count_pixels(tab, token) > MIN_PIXELS, (name, token)


def _names_a_view_of(seconds: int) -> str:
    """Return the condition that the chart spans so many seconds; of 0, any."""
    width = "(({ from, to }) => to - from)(document.getElementById('chart').dataset)"
    return f"Math.abs({width} / {seconds * ROOM_RIGHT} - 1) < 0.03" if seconds else f"{width} > 0"


async def test_tickers_are_compared_as_per_cent(tab: Tab) -> None:
    await tab.show("?ticker=btc_usd&range=1d")
    await tab.page.click("#compare summary")
    await tab.page.check("#compare-list input")
    await tab.until("document.getElementById('legend').textContent.includes('eth_usd')")
    await tab.until("document.getElementById('chart-section').dataset.state === 'ready'")
    stop = (await tab.text("#legend")).removesuffix(" UTC")[-5:]
    assert stop in {_words(int(time.time()) - age)[-5:] for age in (0, MINUTE, 2 * MINUTE)}
    assert "compare=eth_usd" in tab.page.url
    assert await count_pixels(tab, "--accent") > MIN_PIXELS
    assert await count_pixels(tab, "--repaired") > MIN_PIXELS


@pytest.mark.parametrize("minutes", [0, 2])
async def test_comparison_names_one_change_everywhere(
    tab: Tab, service: Service, history: History, minutes: int
) -> None:
    """The axis, the legend and the sentence start from the first close that is drawn."""
    stop = history.now // HOUR * HOUR - HOUR + minutes * MINUTE
    await tab.page.add_init_script(_KEEP_DRAWN_WORDS)
    await tab.show(f"?ticker=btc_usd&range={iso(stop - DAY)}..{iso(stop)}&compare=eth_usd")
    await tab.until("drawnWords.some(words => words.endsWith('%'))")
    legend, sentence, on_axis = [
        await tab.text("#legend"),
        await tab.text("#chart-words"),
        await tab.page.evaluate("drawnWords"),
    ]
    for ticker in ("btc_usd", "eth_usd"):
        first, last = await _first_and_last_close(service, ticker, stop - DAY, stop)
        change = f"{abs(last / first - 1) * 100:.2f}"
        sign = "\N{MINUS SIGN}" if last < first else "+"
        assert f"{sign}{change} %" in legend
        assert f"{ticker} {sign}{change} % from {first:,}, the first close in view" in sentence
        assert f"{sign.replace('+', '')}{change}%" in on_axis
    start = (stop - 1) // (5 * MINUTE) * 5 * MINUTE
    assert f"close of {_words(start)} to {_words(start + 4 * MINUTE)[-5:]} UTC" in legend


async def _first_and_last_close(
    service: Service, ticker: str, first: int, stop: int
) -> tuple[Decimal, Decimal]:
    """Return the closes of the first and the last bar of five minutes in a range."""
    width = 5 * MINUTE
    query = f"ticker={ticker}&interval=5m&from_dt={first // width * width}&to_dt={stop - 1}"
    async with open_api_client(service.url) as api:
        answer = await api.get(f"/api/v1/prices/candles?{query}")
    items = json.loads(answer.body, parse_float=Decimal)["items"]
    return items[0]["close"], items[-1]["close"]


def _words(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))


async def test_gaps_are_listed_behind_the_chart(tab: Tab, history: History) -> None:
    await tab.show("?ticker=btc_usd&range=1d")
    await tab.page.click("#chart-table summary")
    rows = tab.page.locator("#chart-table table:has(caption:text('Gaps of btc_usd')) tbody tr")
    removed = history.removed_hour
    cells = [f"{_words(removed.start)} UTC", f"{_words(removed[-1])} UTC", "60"]
    assert await rows.locator("th, td").all_text_contents() == [
        *cells,
        "the exchange's chart is too coarse there",
    ]


async def test_bar_read_by_keys_stays_while_the_range_moves(tab: Tab, history: History) -> None:
    stop = history.now // DAY * DAY - DAY
    await tab.show(f"?ticker=btc_usd&range={iso(stop - 4 * HOUR)}..{iso(stop)}")
    await tab.page.focus("#chart")
    for _ in range(24):
        await tab.page.keyboard.press("ArrowLeft")
    read = await tab.text("#legend")
    for key in ("Shift+ArrowLeft", "+", "-", "Shift+ArrowRight"):
        before = await tab.page.get_attribute("#chart", "data-from")
        await tab.page.keyboard.press(key)
        await tab.until(f"document.getElementById('chart').dataset.from !== '{before}'")
        await tab.page.evaluate(_TWO_FRAMES)
        assert await tab.text("#legend") == read, key
    await tab.page.keyboard.press("ArrowRight")
    await tab.page.keyboard.press("ArrowLeft")
    assert await tab.text("#legend") == read


async def test_bar_beside_a_gap_is_read_by_keys(tab: Tab, history: History) -> None:
    """The pointer reads a gap also from a few pixels beside it, and a bar is as narrow."""
    removed, width = history.removed_hour, 5 * MINUTE
    stop = removed.stop + width
    await tab.show(f"?ticker=btc_usd&range={iso(stop - DAY)}..{iso(stop)}")
    await tab.page.focus("#chart")
    for bar in (removed.stop, removed.start - width):
        await tab.page.keyboard.press("ArrowLeft")
        assert (await tab.text("#legend")).startswith(f"{_words(bar)} UTC, 5m")


async def test_finger_that_taps_a_gap_is_told_why(
    browser: Browser, service: Service, history: History
) -> None:
    await service.catch_up()
    async with open_tab(browser, service.url, **PHONE) as tab:
        await tab.show("?ticker=btc_usd&range=1d")
        newest = await tab.text("#legend")
        await tab.page.locator("#chart").scroll_into_view_if_needed()
        removed = history.removed_hour
        await tab.page.touchscreen.tap(*await point_at(tab, (removed.start + removed.stop) / 2))
        await tab.until("document.getElementById('legend').dataset.gap === 'true'")
        assert "60 minutes missing" in await tab.text("#legend")
        await tab.page.tap("#chart-title")
        await tab.until(f"document.getElementById('legend').textContent === {newest!r}")


async def test_zooming_in_loads_finer_candles(tab: Tab) -> None:
    await tab.show("?ticker=btc_usd&range=1w")
    before, box = await view_of(tab), await plot_box(tab)
    await tab.page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] / 2)
    async with tab.page.expect_response(asks_for_finer_candles):
        for _ in range(30):
            await tab.page.mouse.wheel(0, -240)
    await tab.until("document.getElementById('chart-words').textContent.includes('bars of 5m')")
    after = await view_of(tab)
    assert (before.interval, after.interval) == ("30m", "5m")
    assert after.seconds < before.seconds / 4
    assert "range=20" in tab.page.url, "the address names the range that was chosen by hand"


def asks_for_finer_candles(response: Response) -> bool:
    return asks_for_candles(response) and candles_of(response)["interval"] == "5m"


async def test_panning_to_the_left_loads_older_candles(tab: Tab) -> None:
    await tab.show("?ticker=btc_usd&range=1d")
    before, box = await view_of(tab), await plot_box(tab)
    middle = box["y"] + box["height"] / 2
    async with tab.page.expect_response(asks_for_candles) as loading:
        for _ in range(3):
            await tab.page.mouse.move(box["x"] + 20, middle)
            await tab.page.mouse.down()
            await tab.page.mouse.move(box["x"] + box["width"] - 20, middle, steps=8)
            await tab.page.mouse.up()
    assert int(candles_of(await loading.value)["from_dt"]) < before.first - DAY
    await tab.until(f"new URL(location).searchParams.get('range') < '{iso(before.first - DAY)}'")
    await tab.state("chart-section", "ready")
    assert await count_pixels(tab, "--fall") > MIN_PIXELS


@pytest.mark.parametrize("kind", ["candles", "line"])
async def test_removed_hour_is_a_gap_with_its_reason(tab: Tab, history: History, kind: str) -> None:
    await tab.show(f"?ticker=btc_usd&range=1d&kind={kind}")
    removed = history.removed_hour
    await tab.page.mouse.move(*await point_at(tab, (removed.start + removed.stop) / 2))
    await tab.until("document.getElementById('legend').dataset.gap === 'true'")
    said = await tab.text("#legend")
    for words in (_clock(removed.start), _clock(removed[-1]), "60 minutes missing", "too coarse"):
        assert words in said
    assert not await _has_bars_between(tab, removed.start, removed.stop)
    assert await _has_bars_between(tab, removed.start - HOUR, removed.start)
    await tab.page.mouse.move(*await point_at(tab, removed.start - HOUR))
    await tab.until("document.getElementById('legend').dataset.gap === 'false'")


def _clock(seconds: int) -> str:
    return time.strftime("%H:%M", time.gmtime(seconds))


async def _has_bars_between(tab: Tab, first: int, stop: int) -> bool:
    """Return whether a part of the chart holds a colour of bars or lines."""
    box = await plot_box(tab)
    left, right = [(await point_at(tab, at))[0] - box["x"] for at in (first, stop)]
    tokens = ("--rise", "--accent")
    counts = [await count_pixels(tab, token, left + 4, right - 4) for token in tokens]
    return sum(counts) > 0


@pytest.mark.parametrize(("name", "seconds"), [("1d", 1.0), ("1y", 2.0)])
async def test_chart_is_drawn_soon(tab: Tab, name: str, seconds: float) -> None:
    """The best of several loads, as other processes may use the machine."""
    taken = []
    for _ in range(LOADS):
        began = time.monotonic()
        await tab.goto(f"?ticker=btc_usd&range={name}")
        await tab.state("chart-section", "ready")
        taken.append(time.monotonic() - began)
    assert min(taken) < seconds, taken
