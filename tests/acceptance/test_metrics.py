"""Metrics of many processes: what a scripted run did is what they count."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import TypeAlias

import aiohttp
import asyncpg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.core.settings import Settings
from app.simulator import Exchange
from tests.acceptance.test_api import is_answering
from tests.api.test_outages import free_port
from tests.processes import Processes
from tests.repositories.rows import store
from tests.waiting import until

pytestmark = pytest.mark.accept

COLLECTIONS = 24
TASKS_PER_CHILD = 2
READS = 400
BATCH = 20
HTTP = "prices_http_request_duration_seconds"
TASKS = "prices_task_duration_seconds"
LATEST = "/api/v1/prices/latest"
PERIOD = "/api/v1/prices/period"
COLLECT = "/api/v1/tasks/fetch-prices"
QUERIES = {
    LATEST: "?ticker=btc_usd",
    PERIOD: "?ticker=btc_usd&from_dt=0&to_dt=86399",
    "/api/v1/tickers": "",
}
Samples: TypeAlias = dict[str, dict[tuple[str, ...], float]]
"""The values by the name of a sample and the values of its labels, in the order of their names."""
KEY = {"X-API-Key": "right-key"}


async def _send(url: str, method: str, path: str) -> int:
    """Send a request on a connection of its own, so that any process may get it."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url + path, headers=KEY) as response,
    ):
        await response.read()
        return response.status


async def _scrape(url: str) -> Samples:
    """Scrape all samples but the buckets of histograms."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as response:
        text = await response.text()
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if "le" not in sample.labels:
                values = tuple(value for _, value in sorted(sample.labels.items()))
                samples.setdefault(sample.name, {})[values] = sample.value
    return samples


async def _wait_until_counted(url: str, name: str, values: tuple[str, ...], number: int) -> None:
    async def is_counted() -> bool:
        return (await _scrape(url)).get(name, {}).get(values, 0) >= number

    await until(is_counted, 60)


async def _run_script(url: str) -> None:
    """Send every request, and wait until the tasks have ended and everything is flushed."""
    for path, query in QUERIES.items():
        for _ in range(READS // BATCH):
            batch = (_send(url, "GET", path + query) for _ in range(BATCH))
            assert set(await asyncio.gather(*batch)) == {200}
    for _ in range(COLLECTIONS):
        assert await _send(url, "POST", COLLECT) == 202
    collections = ("ok", "app.tasks.prices.collect")
    await _wait_until_counted(url, f"{TASKS}_count", collections, COLLECTIONS)
    for path in QUERIES:
        await _wait_until_counted(url, f"{HTTP}_count", ("GET", path), READS)


@pytest.fixture
async def samples(settings: Settings, sql: asyncpg.Connection, tmp_path: Path) -> Samples:
    """What is scraped after the script."""
    await store(sql, range(0, 86_400, 60), source="import")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    several = settings.model_copy(update={"api_port": port, "api_workers": 2})
    with Processes(several, tmp_path) as processes:
        processes.start("app", "api")
        worker = processes.worker("--concurrency=4", f"--max-tasks-per-child={TASKS_PER_CHILD}")
        await until(lambda: is_answering(url), 40)
        await _wait_until_counted(url, "prices_api_processes", (), 2)
        await _run_script(url)
        worker.stop()
        return await _scrape(url)


async def test_two_api_processes_and_recycled_children_count_what_was_done(
    samples: Samples, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    expected = {("GET", path): READS for path in QUERIES} | {("POST", COLLECT): COLLECTIONS}
    answered = {("GET", path, "200"): READS for path in QUERIES}
    answered["POST", COLLECT, "202"] = COLLECTIONS
    assert {key: samples[f"{HTTP}_count"][key] for key in expected} == expected
    assert {key: samples["prices_http_requests_total"][key] for key in answered} == answered
    assert sum(samples["prices_cache_reads_total"].values()) == 2 * READS
    assert samples[f"{TASKS}_count"]["ok", "app.tasks.prices.collect"] == COLLECTIONS
    requests = Counter(("deribit", request.method) for request in exchange.requests)
    durations = samples["prices_exchange_request_duration_seconds_count"]
    assert {key: durations[key] for key in requests} == requests
    assert sum(samples["prices_rate_limiter_wait_seconds_count"].values()) == requests.total()
    live = await sql.fetchval("SELECT count(*) FROM prices WHERE source = 'live'")
    assert samples["prices_lateness_seconds_count"]["deribit",] == live
    assert samples["prices_rows_stored_total"]["live",] == live
