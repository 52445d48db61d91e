"""Histograms and gauges of the processes, as Prometheus scrapes them."""

import asyncio
import json
import platform
import time
from itertools import pairwise
from pathlib import Path

import asyncpg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from redis.asyncio import Redis
from starlette.types import Receive, Scope, Send

from app import __version__
from app.api.middleware.access_log import AccessLogMiddleware
from app.core.metrics import HISTOGRAMS, HTTP_REQUEST_SECONDS, drain, pending
from app.core.settings import Settings
from app.redis.counters import TOTALS_KEY, flush_counters
from app.runtime import Runtime
from app.simulator import Exchange
from tests.api.client import ApiClient, running_api
from tests.api.sse import open_stream
from tests.api.test_metrics import scrape
from tests.repositories.rows import store
from tests.waiting import until

LATEST = "/api/v1/prices/latest?ticker=btc_usd"
CONNECTIONS = 10
"""Of each API process."""
REQUESTS = "prices_http_request_duration_seconds"


async def _scrape_buckets(api: ApiClient, name: str, **labels: str) -> dict[float, float]:
    """Return the cumulative buckets of a series by their bounds."""
    text = (await api.get("/metrics")).body.decode()
    (family,) = (one for one in text_string_to_metric_families(text) if one.name == name)
    return {
        float(sample.labels["le"]): sample.value
        for sample in family.samples
        if sample.name == f"{name}_bucket"
        and sample.labels == {**labels, "le": sample.labels["le"]}
    }


@pytest.mark.parametrize("headers", [{}, {"X-Request-ID": "x"}], ids=["fast path", "FastAPI"])
async def test_every_request_has_its_latency(
    api: ApiClient, sql: asyncpg.Connection, headers: dict[str, str]
) -> None:
    await store(sql, [60])
    began = time.perf_counter()
    for _ in range(5):
        assert (await api.get(LATEST, **headers)).status == 200
    took = time.perf_counter() - began
    series = ("GET", "/api/v1/prices/latest")

    async def are_counted() -> bool:
        return (await scrape(api)).get((f"{REQUESTS}_count", series)) == 5

    await until(are_counted)
    samples = await scrape(api)
    assert samples["prices_http_requests_total", (*series, "200")] == 5
    assert 0 < samples[f"{REQUESTS}_sum", series] < took
    buckets = await _scrape_buckets(api, REQUESTS, method="GET", route=series[1])
    assert list(buckets) == [*HTTP_REQUEST_SECONDS.bounds, float("inf")]
    assert all(smaller <= larger for smaller, larger in pairwise(buckets.values()))
    assert buckets[float("inf")] == 5


async def test_what_follows_the_start_of_a_response_is_the_clients_time() -> None:
    async def respond_and_wait(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        began = time.perf_counter()
        await asyncio.sleep(0.05)
        waited.append(time.perf_counter() - began)

    async def nothing(*_: object) -> None:
        """Neither send nor receive."""

    waited: list[float] = []
    drain()
    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    await AccessLogMiddleware(respond_and_wait)(scope, nothing, nothing)  # type: ignore[arg-type]  # bare ASGI
    sums = [n for key, n in pending().items() if key.values == ("GET", "unmatched", "sum")]
    assert sum(sums) / 1e6 < waited[0]


async def test_exchange_requests_permits_and_lateness_are_observed(
    runtime: Runtime, api: ApiClient, exchange: Exchange
) -> None:
    await runtime.collector.collect()
    await flush_counters(runtime.redis)
    samples = await scrape(api)
    requests = len([one for one in exchange.requests if one.method == "get_index_price"])
    one_exchange = "prices_exchange_request_duration_seconds_count"
    assert samples[one_exchange, ("deribit", "get_index_price")] == requests
    assert samples["prices_rate_limiter_wait_seconds_count", ("deribit", "normal")] == requests
    lateness = await _scrape_buckets(api, "prices_lateness_seconds", exchange="deribit")
    # the exchange's clock is at least ten seconds into the slot
    assert lateness[10] == 0
    assert lateness[float("inf")] == 2


async def test_process_with_other_bounds_is_counted_beside_ours(
    api: ApiClient, redis: Redis
) -> None:
    """An older version counts into the same totals while it is replaced."""
    name, series = REQUESTS, ["PUT", "/old"]
    for counted, number in (("0.003", 4), ("inf", 1), ("sum", 2_500_000)):
        await redis.hset(TOTALS_KEY, json.dumps([name, *series, counted]), number)
    samples = await scrape(api)
    buckets = await _scrape_buckets(api, name, method="PUT", route="/old")
    assert (buckets[0.0025], buckets[0.005], buckets[10], buckets[float("inf")]) == (0, 4, 4, 5)
    assert samples[f"{name}_sum", tuple(series)] == 2.5


async def test_gauges_are_sums_over_api_processes(settings: Settings, api: ApiClient) -> None:
    async with running_api(settings) as other, open_stream(api.url), open_stream(other.url):

        async def are_summed() -> bool:
            samples = await scrape(api)
            open_streams, processes = (
                samples[name, ()] for name in ("prices_streams_open", "prices_api_processes")
            )
            connections = sum(
                samples["prices_pool_connections", (state,)] for state in ("in_use", "free")
            )
            return (open_streams, processes, connections) == (2, 2, 2 * CONNECTIONS)

        await until(are_summed)

    async def is_alone() -> bool:
        return (await scrape(api))["prices_api_processes", ()] == 1

    await until(is_alone)


async def test_gauges_of_this_process_are_told_while_redis_is_away(settings: Settings) -> None:
    without_redis = settings.model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:1/0")})
    async with running_api(without_redis) as api:
        assert (await scrape(api))["prices_api_processes", ()] == 1


async def test_reads_of_the_cache_are_hits_and_misses(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    await store(sql, range(0, 600, 60))
    day = "/api/v1/prices/period?ticker=btc_usd&from_dt=0&to_dt=599"
    for _ in range(3):
        assert (await api.get(day)).status == 200
    samples = await scrape(api)
    hits, misses = (samples["prices_cache_reads_total", (name,)] for name in ("hit", "miss"))
    assert (hits + misses, misses >= 1) == (3, True)
    assert samples["prices_cache_chunks", ()] == 1
    assert samples["prices_cache_bytes", ()] > 10 * len('{"timestamp":0}')


async def test_free_disk_is_told_of_the_embedded_server_alone(
    settings: Settings, tmp_path: Path
) -> None:
    assert settings.database_url is not None
    with_directory = settings.model_copy(update={"data_dir": tmp_path})
    async with running_api(with_directory) as api:
        assert ("prices_disk_free_bytes", ()) not in await scrape(api)
        url = settings.database_url.get_secret_value()
        (tmp_path / "servers.env").write_text(f"DATABASE_URL={url}\n")
        assert (await scrape(api))["prices_disk_free_bytes", ()] > 0


async def test_version_is_told(api: ApiClient) -> None:
    labels = (platform.python_version(), __version__)
    assert (await scrape(api))["prices_build_info", labels] == 1


def test_bounds_of_histograms_ascend() -> None:
    for histogram in HISTOGRAMS:
        assert sorted(set(histogram.bounds)) == list(histogram.bounds)
