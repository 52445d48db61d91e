"""Pictures of the dashboard for the README: only where SCREENSHOTS names a directory."""

import os
import time
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.acceptance.page.chart_probe import point_at
from tests.acceptance.page.conftest import Recorded
from tests.acceptance.page.service import MINUTE, Service
from tests.acceptance.page.tab import DESKTOP, PHONE, open_tab
from tests.waiting import until

DIRECTORY = os.environ.get("SCREENSHOTS")
pytestmark = [
    pytest.mark.accept,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(DIRECTORY is None, reason="SCREENSHOTS names no directory for pictures"),
]

MAX_BYTES = 300_000
_SHARP_CANVASES = "delete ResizeObserverEntry.prototype.devicePixelContentBoxSize"
"""Of a device that it imitates, Chromium tells this size in the wrong pixels."""
DEVICES = {"desktop": DESKTOP, "phone": PHONE}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", list(DEVICES))
async def test_page_on_a_device(
    browser: Browser, recorded: Recorded, device: str, scheme: str
) -> None:
    await _collect_the_newest(recorded.service)
    options = {**DEVICES[device], "color_scheme": scheme}
    async with open_tab(browser, recorded.service.url, **options) as tab:
        await tab.page.add_init_script(_SHARP_CANVASES)
        await tab.show("?ticker=btc_usd&range=1d")
        width = await tab.page.evaluate("document.documentElement.scrollWidth")
        assert width <= options["viewport"]["width"], "it scrolls sideways"
        removed = recorded.history.removed_hour
        await tab.page.mouse.move(*await point_at(tab, removed[len(removed) // 2]))
        await tab.until("document.getElementById('legend').dataset.gap === 'true'")
        await tab.until("document.querySelector('.ticker .fresh') === null")
        path = Path(DIRECTORY or ".") / f"dashboard-{device}-{scheme}.png"
        await tab.page.screenshot(path=path, full_page=device == "desktop")
    assert path.stat().st_size < MAX_BYTES


async def _collect_the_newest(service: Service) -> None:
    """Let the service itself collect the newest price, so that its status knows the exchange."""
    await service.catch_up(stop=time.time() // MINUTE * MINUTE)
    service.exchange.set_clock()
    collection = service.processes.start("app", "collect")

    async def has_ended() -> bool:
        return collection.popen.poll() is not None

    await until(has_ended, 30)
    assert collection.popen.returncode == 0, collection.output
