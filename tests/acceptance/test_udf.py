"""A year by the minute, as a TradingView chart reads it."""

import asyncio
import json
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from app.core.settings import Settings
from tests.api.client import ApiClient, running_api
from tests.api.udf_client import UdfClient

pytestmark = pytest.mark.accept

START = 1_735_689_600
DAY = 86_400
DAYS = 365
GAPS = ((START + 40 * DAY, START + 41 * DAY), (START + 100 * DAY, START + 190 * DAY))
"""A day, and a quarter of the year."""
END = START + DAYS * DAY
PAGE = 10_000
BUNDLE = os.environ.get("TRADINGVIEW_UDF_BUNDLE", "")
"""The absolute path of `datafeeds/udf/dist/bundle.js` of TradingView's library."""

_FILL = """
INSERT INTO prices (exchange, ticker, timestamp, price, observed_us, source)
SELECT 'deribit', 'btc_usd', slot, 50000 + slot / 60 % 997 / 8.0, 0, 'import'
FROM generate_series($1::bigint, $2::bigint - 60, 60) AS slot
"""


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[ApiClient]:
    async with running_api(settings) as client:
        yield client


@pytest.fixture
async def year(sql: asyncpg.Connection) -> list[int]:
    """Store a year with two gaps, and return its minutes."""
    await sql.execute(_FILL, START, END, timeout=300)
    for first, stop in GAPS:
        await sql.execute(
            "DELETE FROM prices WHERE timestamp >= $1 AND timestamp < $2", first, stop, timeout=300
        )
    await sql.execute("VACUUM ANALYZE prices, price_hours", timeout=300)
    rows = await sql.fetch("SELECT timestamp FROM prices ORDER BY timestamp")
    return [row["timestamp"] for row in rows]


@pytest.mark.parametrize(("resolution", "width"), [("1", 60), ("30", 1800), ("60", 3600)])
async def test_a_year_is_paged_back_without_a_hole_or_a_double(
    api: ApiClient, year: list[int], resolution: str, width: int
) -> None:
    pages = [page async for page in UdfClient(api).pages_back(resolution, END, PAGE)]
    assert {len(page) for page in pages[:-1]} <= {PAGE}
    found = [bar.time for page in reversed(pages) for bar in page]
    assert found == sorted({minute // width * width for minute in year})


async def _chart(bundle: Path, url: str, resolution: str) -> dict[str, Any]:
    """Do what a chart does with TradingView's own data feed, and return what it got."""
    script = Path(__file__).with_name("udf_chart.cjs")
    words = map(str, (bundle, f"{url}/udf", "BTC_USD", resolution, END, PAGE))
    done = await asyncio.to_thread(
        subprocess.run,
        ["node", str(script), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    chart: dict[str, Any] = json.loads(done.stdout)
    return chart


@pytest.mark.skipif(
    not (BUNDLE and shutil.which("node")), reason="needs Node and TRADINGVIEW_UDF_BUNDLE"
)
async def test_tradingviews_own_client_reads_a_year(api: ApiClient, year: list[int]) -> None:
    chart = await _chart(Path(BUNDLE), api.url, "5")
    found = [bar["time"] for page in reversed(chart["pages"]) for bar in page]
    assert found == sorted({minute // 300 * 300_000 for minute in year})
    assert {"volume"}.isdisjoint(chart["pages"][0][0])
    assert chart["config"]["supports_search"] is True
    assert abs(chart["time"] - time.time()) < DAY
    assert [item["ticker"] for item in chart["found"]] == ["btc_usd"]
    info = chart["info"]
    assert (info["ticker"], info["minmov"], info["pricescale"]) == ("btc_usd", 1, 1000)
    assert (info["session"], info["timezone"]) == ("24x7", "Etc/UTC")
    assert chart["unknown"] == "unknown_symbol"
    assert chart["reversed"] == "from: must not be after to"
