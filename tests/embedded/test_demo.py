"""`python -m app demo` as it is: everything real, from an empty folder to prices."""

import asyncio
import json
import os
import signal
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest

from app.core.settings import Settings
from app.supervisor.ports import free_port
from tests.supervisor.child_programs import PROJECT, is_running, until


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="demo-") as name:
        yield Path(name).resolve()


async def get_json(url: str) -> Any:  # noqa: ANN401  JSON
    def ask() -> Any:  # noqa: ANN401
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  our own address
            return json.load(answer)

    return await asyncio.to_thread(ask)


async def start_demo(folder: Path, port: int) -> asyncio.subprocess.Process:
    """Start a demo and wait until it says that everything runs."""
    inherited = {k: v for k, v in os.environ.items() if k.lower() not in Settings.model_fields}
    own = {"DATA_DIR": str(folder), "API_PORT": str(port), "TICKERS": "btc_usd,eth_usd"}
    log = (folder / "demo.log").open("wb")
    with log:
        demo = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app", "demo"), cwd=PROJECT, env=inherited | own, stdout=log
        )
    await until(lambda: "Ctrl-C" in (folder / "demo.log").read_text(), seconds=180)
    return demo


async def test_the_demo_shows_prices_and_ends_without_a_trace(folder: Path) -> None:
    base = f"http://127.0.0.1:{(port := free_port())}"
    demo = await start_demo(folder, port)
    family = [child.pid for child in psutil.Process(demo.pid).children(recursive=True)]
    try:
        history = await get_json(f"{base}/api/v1/prices/history?ticker=btc_usd&limit=1000")
        tickers = await get_json(f"{base}/api/v1/tickers")
    finally:
        demo.send_signal(signal.SIGINT)
        code = await demo.wait()

    assert history["count"] == 1000
    assert {item["ticker"] for item in tickers["items"]} == {"btc_usd", "eth_usd"}
    assert min(item["rows"] for item in tickers["items"]) >= 2880
    assert code == 0
    assert len(family) >= 7  # two servers, their orphan reaper, exchange, API, worker, beat
    await until(lambda: not any(map(is_running, family)))
