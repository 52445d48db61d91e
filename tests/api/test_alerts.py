"""Alerts by the real processes: the API tells what happened to beat."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from app.core.settings import Settings
from app.redis.alert_lease import LEASE_KEY
from app.simulator import Exchange
from tests.api.client import open_api_client
from tests.api.test_outages import free_port
from tests.conftest import set_phase
from tests.processes import Processes
from tests.waiting import until
from tests.webhook_receiver import TOKEN, running_webhook_receiver

INTERVAL = 6


@pytest.mark.accept
async def test_stopped_beat_makes_one_call_and_its_return_one_more(
    settings: Settings, exchange: Exchange, redis: Redis, tmp_path: Path
) -> None:
    port = free_port()
    set_phase(exchange, 0.2, interval=INTERVAL)
    async with running_webhook_receiver() as receiver:
        changes = {
            "alert_webhook_url": SecretStr(receiver.url),
            "api_port": port,
            "api_workers": 2,
            "collect_interval_seconds": INTERVAL,
            "tickers": ("btc_usd",),
        }
        with Processes(settings.model_copy(update=changes), tmp_path) as processes:
            api = processes.start("app", "api")
            processes.worker()
            beat = processes.beat()
            async with open_api_client(f"http://127.0.0.1:{port}") as asked:

                async def healthy() -> bool:
                    try:
                        return (await asked.get("/health/collector")).status == 200
                    except OSError:
                        return False

                await until(healthy, 60)
                await until(lambda: redis.exists(LEASE_KEY))
                os.kill(beat.popen.pid, signal.SIGSTOP)
                await until(lambda: receiver.has_received(1), 40)
                os.kill(beat.popen.pid, signal.SIGCONT)
                await until(lambda: receiver.has_received(2), 40)
                await until(healthy, 60)
            assert await asyncio.to_thread(api.stop) == 0
    assert receiver.events == [("ticker_stale", "btc_usd"), ("ticker_recovered", "btc_usd")]
    assert receiver.bodies[0]["reason"].startswith("beat has been silent for ")
    assert api.output.count("alert_delivered") == 2
    assert TOKEN not in api.output
