"""One tick by hand, through the command."""

import asyncio
import json

from app.core.settings import Settings
from tests.preloaded_python import run_python
from tests.processes import environment


async def test_json_is_all_that_stands_on_stdout(settings: Settings) -> None:
    env = environment(settings, LOG_LEVEL="debug")
    tick = await asyncio.to_thread(run_python, "app", "collect", "--json", env=env)
    assert tick.returncode == 0
    assert json.loads(tick.stdout) == {
        "stored": ["btc_usd", "eth_usd"],
        "already": [],
        "failed": {},
    }
    assert "prices_collected" in tick.stderr
