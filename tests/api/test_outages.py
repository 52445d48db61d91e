"""Servers that go away and come back, without a restart of the API."""

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.core.settings import Settings
from tests.api.client import Answer, ApiClient, open_api_client, running_api
from tests.postgres.restartable_servers import (
    RestartableServer,
    restartable_postgres,
    restartable_valkey,
)
from tests.processes import Process, Processes
from tests.waiting import until

READS = [
    "/api/v1/prices?ticker=btc_usd",
    "/api/v1/prices/latest?ticker=btc_usd",
    "/api/v1/prices/at?ticker=nope_usd&timestamp=1",
    "/api/v1/tickers",
]
FETCH = "/api/v1/tasks/fetch-prices"
MAX_SECONDS = 8.0
"""No answer takes longer, whatever is away; the machine that tests may be busy."""


@pytest.fixture
async def postgres(directory: Path, database_name: str) -> AsyncIterator[RestartableServer]:
    folder = directory / f"outage-{database_name}"
    folder.mkdir(mode=0o755)
    async with restartable_postgres(folder) as server:
        yield server


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[RestartableServer]:
    async with restartable_valkey(tmp_path) as server:
        yield server


async def _wait_until_live(process: Process, api: ApiClient) -> None:
    async def is_live() -> bool:
        assert process.popen.poll() is None, process.output
        try:
            return (await api.get("/health/live")).status == 200
        except OSError:
            return False

    await until(is_live, 40)


async def _within_max_seconds(response: Awaitable[Answer]) -> Answer:
    began = time.monotonic()
    answer = await response
    assert time.monotonic() - began < MAX_SECONDS
    return answer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _all_unavailable(api: ApiClient) -> bool:
    return all([(await _within_max_seconds(api.get(path))).status == 503 for path in READS])


async def test_database_that_goes_away_is_a_503_until_it_is_back(
    settings: Settings, postgres: RestartableServer, tmp_path: Path
) -> None:
    own_settings = settings.model_copy(update={"database_url": SecretStr(postgres.url)})
    with Processes(own_settings, tmp_path) as processes:
        migration = processes.start("alembic", "upgrade", "head")
        assert await asyncio.to_thread(migration.popen.wait, 60) == 0, migration.output
    async with running_api(own_settings) as api:
        assert [(await api.get(path)).status for path in READS] == [200, 404, 404, 200]
        await postgres.stop()
        await until(lambda: _all_unavailable(api))  # what is remembered is trusted for a second
        for path in READS:
            answer = await _within_max_seconds(api.get(path))
            assert (answer.status, answer.code) == (503, "database_unavailable")
            assert answer.headers["retry-after"]
            assert str(postgres.url) not in str(answer.body)
        ready = await _within_max_seconds(api.get("/health/ready"))
        checks = {name: check["status"] for name, check in ready.json()["checks"].items()}
        assert (ready.status, checks) == (503, {"database": "failing", "broker": "ok"})
        collector = await _within_max_seconds(api.get("/health/collector"))
        found = {name: check["detail"] for name, check in collector.json()["checks"].items()}
        assert (collector.status, "PostgreSQL does not answer" in found["database"]) == (503, True)
        assert found["deribit:btc_usd"].endswith("is unknown: the database is away")
        assert (await api.get("/health/live")).status == 200
        metrics = await _within_max_seconds(api.get("/metrics"))
        assert (metrics.status, b'prices_up{server="postgres"} 0.0' in metrics.body) == (200, True)
        assert b'prices_up{server="redis"} 1.0' in metrics.body
        await postgres.start()
        assert [(await api.get(path)).status for path in READS] == [200, 404, 404, 200]
        assert (await api.get("/health/ready")).status == 200


async def test_broker_that_goes_away_is_a_503_until_it_is_back(
    settings: Settings, valkey: RestartableServer, tmp_path: Path
) -> None:
    port = free_port()
    own_settings = settings.model_copy(
        update={"redis_url": SecretStr(valkey.url), "api_port": port, "log_format": "json"}
    )
    with Processes(own_settings, tmp_path) as processes:
        process = processes.start("app", "api")
        async with open_api_client(f"http://127.0.0.1:{port}") as api:
            await _wait_until_live(process, api)
            for _ in range(2):
                started = await api.post(FETCH)
                assert started.status == 202
                url = started.json()["status_url"]
                assert (await api.get(url)).json()["state"] == "PENDING"
                await valkey.stop()
                for away in (
                    await _within_max_seconds(api.post(FETCH)),
                    await _within_max_seconds(api.get(url)),
                ):
                    assert (away.status, away.code) == (503, "broker_unavailable")
                assert (await _within_max_seconds(api.get("/health/ready"))).status == 503
                assert (await api.get("/api/v1/tickers")).status == 200
                await valkey.start()
            assert (await _within_max_seconds(api.post(FETCH))).status == 202
        assert "Traceback" not in process.output


async def test_broker_of_its_own_that_is_away_is_a_503(
    settings: Settings, valkey: RestartableServer, tmp_path: Path
) -> None:
    port = free_port()
    own_settings = settings.model_copy(
        update={
            "redis_url": SecretStr(valkey.url),
            "celery_broker_url": SecretStr("redis://127.0.0.1:1/0"),
            "api_port": port,
        }
    )
    with Processes(own_settings, tmp_path) as processes:
        process = processes.start("app", "api")
        async with open_api_client(f"http://127.0.0.1:{port}") as api:
            await _wait_until_live(process, api)
            answers = await asyncio.gather(
                *(_within_max_seconds(api.post(FETCH)) for _ in range(10))
            )
        assert {(answer.status, answer.code) for answer in answers} == {(503, "broker_unavailable")}
        assert process.stop() in {0, -signal.SIGTERM}  # uvicorn ends itself by the signal again
