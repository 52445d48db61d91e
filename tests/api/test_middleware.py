"""HEAD, validators, compression and other origins."""

import gzip
from collections.abc import Iterable

import asyncpg
import pytest

from app.api.middleware.access_log import AccessLogMiddleware
from app.core.metrics import HTTP_REQUESTS, drain, pending
from app.core.settings import Settings
from tests.api.client import ApiClient, running_api
from tests.repositories.rows import add_recording, store
from tests.waiting import until

START = 1_768_579_200
PERIOD = f"/api/v1/prices/period?ticker=btc_usd&from_dt={START}&to_dt={START + 3599}"
READS = (
    PERIOD,
    "/api/v1/prices?ticker=btc_usd&limit=10",
    "/api/v1/prices/history?ticker=btc_usd",
    "/api/v1/prices/latest?ticker=btc_usd",
    "/api/v1/tickers",
    "/api/v1/coverage?ticker=btc_usd",
    "/health/live",
    "/openapi.json",
)


@pytest.fixture(autouse=True)
async def hour(sql: asyncpg.Connection) -> None:
    await store(sql, range(START, START + 3600, 60))
    await add_recording(sql, START)


@pytest.mark.parametrize("path", READS)
async def test_head_is_a_get_without_its_body(api: ApiClient, path: str) -> None:
    whole, head = await api.get(path), await api.send("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]
    assert "etag" in head.headers
    if "latest" not in path:  # whose age may have changed
        assert head.headers["content-length"] == whole.headers["content-length"]


async def test_head_of_what_is_not_there_is_a_404(api: ApiClient) -> None:
    head = await api.send("HEAD", "/api/v1/prices?ticker=nope_usd")
    assert (head.status, head.body) == (404, b"")


@pytest.mark.parametrize("path", READS[:3])
async def test_answer_that_the_client_has_is_a_304(
    api: ApiClient, path: str, sql: asyncpg.Connection
) -> None:
    tag = (await api.get(path)).headers["etag"]
    for known in (tag, f'"other", {tag}', tag.removeprefix("W/"), "*"):
        answer = await api.get(path, **{"If-None-Match": known})
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["etag"] == tag
        assert "content-type" not in answer.headers
    await sql.execute("UPDATE prices SET price = 5")
    assert (await api.get(path, **{"If-None-Match": '"other"'})).status == 200


async def test_refused_requests_have_no_validator(api: ApiClient) -> None:
    answer = await api.get("/api/v1/prices?ticker=nope_usd", **{"If-None-Match": "*"})
    assert (answer.status, "etag" in answer.headers) == (404, False)


async def test_sealed_ranges_may_be_kept_and_open_ones_must_be_asked_for(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    async def control(path: str) -> str:
        return (await api.get(path)).headers["cache-control"]

    assert await control(PERIOD) == "public, max-age=3600"
    assert await control(f"{PERIOD}&limit=5") == "public, max-age=3600"
    assert await control(PERIOD.replace(str(START + 3599), str(START + 3600))) == "no-cache"
    assert await control(PERIOD.replace(str(START), str(START - 60), 1)) == "no-cache"
    for path in READS[1:4]:
        assert await control(path) == "no-cache"
    await sql.execute("DELETE FROM prices WHERE timestamp = $1", START + 600)

    async def is_open() -> bool:
        return await control(PERIOD) == "no-cache"

    await until(is_open)


INTERVALS = [
    # stored slots, (interval, first, last) of each recording, whether the hour is complete
    (range(START, START + 3600, 60), [(60, START, START + 3540)], True),
    # recorded by the minute, every fifth of which is there; today's interval has none to miss
    (
        range(START, START + 3600, 300),
        [(60, START, START + 3540), (300, START + 3600, None)],
        False,
    ),
    (range(START, START + 3600, 300), [(300, START, START + 3300), (60, START + 3600, None)], True),
    # the interval changed within the hour
    (
        [*range(START, START + 1800, 60), *range(START + 1800, START + 3600, 300)],
        [(60, START, START + 1740), (300, START + 1800, None)],
        True,
    ),
    (
        [*range(START, START + 1800, 300), *range(START + 1800, START + 3600, 300)],
        [(60, START, START + 1740), (300, START + 1800, None)],
        False,
    ),
    # what nobody promised may be imported yet: before, between and after recordings
    (range(START, START + 3600, 60), [(60, START + 60, None)], False),
    (range(START, START + 3600, 60), [(60, START, START + 1140), (60, START + 1260, None)], False),
    (range(START, START + 3600, 60), [(60, START, START + 3480)], False),
    (range(START, START + 3600, 60), [], False),
    # as many rows as slots, and one of them beside its slot
    (
        [*range(START, START + 3540, 60), START + 3541],
        [(60, START, None)],
        False,
    ),
]


@pytest.mark.parametrize(("slots", "recordings", "is_complete"), INTERVALS)
async def test_sealed_ranges_are_judged_by_the_recordings_that_cover_them(
    settings: Settings,
    sql: asyncpg.Connection,
    slots: Iterable[int],
    recordings: list[tuple[int, int, int | None]],
    *,
    is_complete: bool,
) -> None:
    """By the fast path, by FastAPI, and by the table alone."""
    await sql.execute("TRUNCATE prices, recordings")
    await store(sql, slots)
    for interval, first, last in recordings:
        await add_recording(sql, first, last, interval)
    expected = "public, max-age=3600" if is_complete else "no-cache"
    for megabytes in (64, 0):
        chosen = settings.model_copy(update={"read_memory_megabytes": megabytes})
        async with running_api(chosen) as api:
            for more in ({}, {"X-Request-ID": "framework"}, {"Accept-Encoding": "gzip"}):
                for _ in range(2):
                    assert (await api.get(PERIOD, **more)).headers["cache-control"] == expected


async def test_recordings_that_change_unseal_a_range_within_a_second(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    """Also when no price changes with them."""
    assert (await api.get(PERIOD)).headers["cache-control"] == "public, max-age=3600"
    await sql.execute("UPDATE recordings SET first_slot = first_slot + 60")

    async def is_open() -> bool:
        return (await api.get(PERIOD)).headers["cache-control"] == "no-cache"

    await until(is_open, 1)


async def test_answers_are_compressed_where_it_is_asked_and_worth_it(api: ApiClient) -> None:
    plain = await api.get(PERIOD, **{"Accept-Encoding": "identity"})
    packed = await api.get(PERIOD, **{"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert "accept-encoding" in packed.headers["vary"].lower()
    body = packed.body if packed.body[:1] == b"{" else gzip.decompress(packed.body)
    assert body == plain.body
    assert packed.headers["etag"] == plain.headers["etag"]
    assert int(packed.headers["content-length"]) < len(plain.body) / 3
    short = await api.get("/api/v1/prices/latest?ticker=btc_usd", **{"Accept-Encoding": "gzip"})
    assert "content-encoding" not in short.headers


@pytest.mark.parametrize("accepted", ["gzip;q=0", "br, GZIP; q=0.000", "gzipx"])
async def test_who_refuses_gzip_gets_none(api: ApiClient, accepted: str) -> None:
    for path in (PERIOD, "/api/v1/prices/export?ticker=btc_usd"):
        answer = await api.get(path, **{"Accept-Encoding": accepted})
        assert answer.status == 200
        assert "content-encoding" not in answer.headers


async def test_other_origins_may_read_if_they_are_allowed(settings: Settings) -> None:
    origin = "https://charts.example"
    allowed = settings.model_copy(update={"cors_origins": (origin,)})
    for chosen, expected in ((settings, None), (allowed, origin)):
        async with running_api(chosen) as api:
            for path in (PERIOD, "/api/v1/prices/latest?ticker=btc_usd"):
                for _ in range(2):
                    answer = await api.get(path, Origin=origin)
                    assert answer.headers.get("access-control-allow-origin") == expected
            other = await api.get(PERIOD, Origin="https://elsewhere.example")
            assert "access-control-allow-origin" not in other.headers


async def test_a_client_that_leaves_before_the_response_is_no_error_of_the_server() -> None:
    async def end_without_response(*_: object) -> None:
        """End as Starlette does when the client has gone."""

    async def nothing(*_: object) -> None:
        """Neither send nor receive."""

    drain()
    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    await AccessLogMiddleware(end_without_response)(scope, nothing, nothing)  # type: ignore[arg-type]  # bare ASGI
    requests = [key.values for key in pending() if key.metric == HTTP_REQUESTS.name]
    assert requests == [("GET", "unmatched", "499")]
