"""One tick by hand, through the command."""

import asyncio
import json
import subprocess
import sys

from app.core.settings import Settings
from tests.processes import PROJECT, environment


async def test_json_is_all_that_stands_on_stdout(settings: Settings) -> None:
    tick = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "app", "collect", "--json"],
        env=environment(settings, LOG_LEVEL="debug"),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(tick.stdout) == {
        "stored": ["btc_usd", "eth_usd"],
        "already": [],
        "failed": {},
    }
    assert "prices_collected" in tick.stderr
