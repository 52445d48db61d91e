"""The fast path answers what FastAPI answers, and hands on what is unusual."""

import asyncpg
import pytest
from redis.asyncio import Redis

from tests.api.client import Answer, ApiClient
from tests.repositories.rows import store
from tests.waiting import until

PRICES = "/api/v1/prices"
START = 1_768_579_200
LATEST = f"{PRICES}/latest?ticker=btc_usd"
DAY = f"{PRICES}/period?ticker=btc_usd&from_dt={START}&to_dt={START + 86_399}"
PLAIN = (
    LATEST,
    f"{LATEST}&exchange=deribit",
    DAY,
    f"{DAY}&limit=7",
    f"{PRICES}/period?ticker=btc_usd&exchange=deribit&from_dt={START + 1}&to_dt={START + 600}",
    f"{PRICES}/history?ticker=btc_usd",
    f"{PRICES}/history?ticker=btc_usd&exchange=deribit&limit=1000",
    f"{PRICES}/history?ticker=btc_usd&limit=10000",
)
UNUSUAL = (
    f"{PRICES}/latest?ticker=BTC_usd",
    f"{PRICES}/latest?ticker=btc%5Fusd",
    f"{LATEST}&max_age_seconds=5",
    f"{PRICES}/period?ticker=btc_usd&to_dt={START}&from_dt={START - 5}",
    f"{DAY}&limit=10001",
    f"{DAY}&limit=0",
    f"{DAY}&cursor=x",
    f"{DAY}&to={START}",
    f"{LATEST}&symbol=btc_usd",
    f"{LATEST}&ticker=eth_usd",
    f"{PRICES}/period?ticker=btc_usd&from_dt=-24h&to_dt=now",
    f"{PRICES}/period?ticker=btc_usd&from_dt=20261001&to_dt=20261002",
    f"{PRICES}/period?ticker=btc_usd&from_dt=2026&to_dt={START}",
    f"{PRICES}/period?ticker=btc_usd&from_dt={START + 60}&to_dt={START}",
    f"{PRICES}/period?ticker=nope_usd&from_dt=1&to_dt=2",
    f"{PRICES}/history?ticker=btc_usd&limit=10001",
    f"{PRICES}/history?ticker=btc_usd&cursor=x",
    f"{PRICES}/history?ticker=nope_usd",
    f"{PRICES}/latest?ticker=nope_usd",
    f"{PRICES}/latest?ticker=eth_usd",
)
COMPARED_HEADERS = ("content-type", "content-length", "cache-control", "etag", "link")


@pytest.fixture
async def whole_day(sql: asyncpg.Connection) -> None:
    await store(sql, range(START, START + 86_400, 60), price="60123.4500")


async def _get_uncompressed(api: ApiClient, path: str, **headers: str) -> Answer:
    """Send a request without gzip, as wrk and curl do; FastAPI serves those with gzip."""
    return await api.get(path, **{"Accept-Encoding": "identity", **headers})


async def _get_from_fastapi(api: ApiClient, path: str) -> Answer:
    """Send a request with a header that the fast path leaves to FastAPI."""
    return await _get_uncompressed(api, path, **{"X-Request-ID": "framework"})


def _is_from_fast_path(answer: Answer) -> bool:
    """Tell by the request's id: the fast path counts, FastAPI draws a random UUID of version 4."""
    return answer.headers["x-request-id"][12] != "4" or answer.headers["x-request-id"][16:20] == (
        "0000"
    )


@pytest.mark.usefixtures("whole_day")
@pytest.mark.parametrize("path", PLAIN)
async def test_fast_path_answers_what_fastapi_answers(api: ApiClient, path: str) -> None:
    async def is_cached() -> bool:
        return _is_from_fast_path(await _get_uncompressed(api, path))

    await until(is_cached)
    while True:
        slow, fast = await _get_from_fastapi(api, path), await _get_uncompressed(api, path)
        if "latest" not in path or slow.json()["age_seconds"] == fast.json()["age_seconds"]:
            break  # else a second began between the two
    assert (fast.status, fast.body) == (slow.status, slow.body) == (200, slow.body)
    headers = [{name: a.headers.get(name) for name in COMPARED_HEADERS} for a in (slow, fast)]
    assert headers[0] == headers[1]


@pytest.mark.usefixtures("whole_day")
@pytest.mark.parametrize("path", UNUSUAL)
async def test_unusual_requests_are_left_to_fastapi(api: ApiClient, path: str) -> None:
    await _get_uncompressed(api, DAY)
    await _get_uncompressed(api, LATEST)
    for _ in range(2):
        assert not _is_from_fast_path(await _get_uncompressed(api, path))
    assert not _is_from_fast_path(await api.get(DAY, **{"Accept-Encoding": "gzip"}))


@pytest.mark.usefixtures("whole_day")
async def test_headers_that_change_the_answer_are_left_to_fastapi(api: ApiClient) -> None:
    async def is_cached() -> bool:
        return _is_from_fast_path(await _get_uncompressed(api, DAY))

    await until(is_cached)
    tag = (await _get_uncompressed(api, DAY)).headers["etag"]
    assert (await api.get(DAY, **{"If-None-Match": tag})).status == 304
    assert not _is_from_fast_path(await _get_uncompressed(api, DAY, Origin="https://example.org"))


@pytest.mark.usefixtures("whole_day")
async def test_fast_answers_are_counted(api: ApiClient, redis: Redis) -> None:
    async def is_cached() -> bool:
        return _is_from_fast_path(await api.get(LATEST))

    await until(is_cached)
    counter = 'prices_http_requests_total{method="GET",route="/api/v1/prices/latest",status="200"}'
    before = _value((await api.get("/metrics")).body, counter)
    for _ in range(5):
        await api.get(LATEST)
    assert _value((await api.get("/metrics")).body, counter) == before + 5
    assert await redis.ping()


def _value(metrics: bytes, counter: str) -> float:
    (line,) = [line for line in metrics.decode().splitlines() if line.startswith(counter)]
    return float(line.rpartition(" ")[2])


async def test_new_price_is_seen_within_a_second(api: ApiClient, sql: asyncpg.Connection) -> None:
    for slot in range(START, START + 300, 60):
        await store(sql, [slot])

        async def is_seen(slot: int = slot) -> bool:
            return bool((await api.get(LATEST)).json()["timestamp"] == slot)

        await until(is_seen, 1)
