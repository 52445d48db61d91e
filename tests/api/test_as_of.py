"""`as_of` and `max_gap_seconds` over HTTP: parameters, pages, and what may not be cached."""

from urllib.parse import quote

import asyncpg
import pytest

from tests.api.client import Answer, ApiClient
from tests.repositories.rows import store

PRICES = "/api/v1/prices"
T0 = 1_768_579_200
DAY = f"{PRICES}/period?ticker=btc_usd&from_dt={T0}&to_dt={T0 + 86_399}"
HISTORY = f"{PRICES}/history?ticker=btc_usd"
CANDLES = f"{PRICES}/candles?ticker=btc_usd&interval=5m"
REPAIRED_AT = T0 + 10_000


@pytest.fixture
async def repaired(sql: asyncpg.Connection) -> None:
    """Live rows of an hour but every third, which a repair added hours later."""
    slots = range(T0, T0 + 3_600, 60)
    await store(sql, [slot for slot in slots if slot % 180])
    await sql.execute("UPDATE prices SET created_at = to_timestamp(timestamp + 2.5)")
    await store(sql, [slot for slot in slots if slot % 180 == 0], source="backfill")
    repaired_at = "to_timestamp($1::float8 + 0.25)"
    await sql.execute(
        f"UPDATE prices SET created_at = {repaired_at} WHERE source = 'backfill'",  # noqa: S608  # ours
        REPAIRED_AT,
    )


async def _read_pages(api: ApiClient, path: str) -> list[int]:
    found: list[int] = []
    following: str | None = path
    while following is not None:
        answer = await api.get(following)
        assert answer.status == 200, answer.body
        assert answer.headers.get("cache-control", "no-cache") == "no-cache"
        found += answer.timestamps
        following = answer.json()["next"]
    return found


@pytest.mark.usefixtures("repaired")
@pytest.mark.parametrize("encoding", ["gzip", "identity"], ids=["FastAPI", "fast path"])
async def test_lists_show_what_was_known_and_their_pages_are_of_one_moment(
    api: ApiClient, encoding: str
) -> None:
    known = [slot for slot in range(T0, T0 + 3_600, 60) if slot % 180]
    whole = [*range(T0, T0 + 3_600, 60)]
    for path, order in ((DAY, 1), (HISTORY, -1)):
        for as_of, expected in (
            (REPAIRED_AT, known),
            (REPAIRED_AT + 1, whole),
            (T0 + 600, [slot for slot in known if slot + 2.5 <= T0 + 600]),
            (T0, []),
        ):
            url = f"{path}&as_of={as_of}"
            first = await api.get(url, **{"Accept-Encoding": encoding})
            assert first.timestamps == expected[::order][:1000]
            assert first.headers["cache-control"] == "no-cache"
            assert await _read_pages(api, f"{path}&limit=7&as_of={as_of}") == expected[::order]


@pytest.mark.usefixtures("repaired")
async def test_moment_may_have_a_fraction_and_the_next_page_keeps_it(api: ApiClient) -> None:
    for fraction, is_known in ((".249999", False), (".25", True), (".250001", True)):
        moment = f"2026-01-16T18:46:40{fraction}Z"
        found = await _read_pages(api, f"{DAY}&limit=9&as_of={quote(moment)}")
        assert (T0 in found, len(found)) == (is_known, 60 if is_known else 40)


@pytest.mark.usefixtures("repaired")
async def test_relative_moment_stays_the_same_on_all_pages(api: ApiClient) -> None:
    first = await api.get(f"{DAY}&limit=10&as_of=now")
    following = first.json()["next"]
    assert "as_of=2" in following, "an absolute time"
    without = following.replace("as_of=", "&x=").replace("&&x", "&x")
    answer = await api.get(without.partition("&x=")[0] + "&cursor=" + following.split("cursor=")[1])
    assert answer.errors_by_parameter == {"cursor": "belongs to another list, ticker or order"}


@pytest.mark.usefixtures("repaired")
async def test_price_at_a_moment_is_the_one_that_was_known(api: ApiClient) -> None:
    at = f"{PRICES}/at?ticker=btc_usd&timestamp={T0 + 180}&tolerance_seconds=600"
    assert (await api.get(at)).json()["timestamp"] == T0 + 180
    assert (await api.get(f"{at}&as_of={REPAIRED_AT}")).json()["timestamp"] == T0 + 120
    nothing = await api.get(f"{at}&as_of={T0}")
    assert nothing.code == "no_price_near"
    assert "was known at 2026-01-16T16:00:00Z" in nothing.json()["detail"]


@pytest.mark.usefixtures("repaired")
async def test_candles_count_the_rows_that_were_known_page_by_page(api: ApiClient) -> None:
    for interval, samples in (("5m", [3, 3, 4] * 4), ("1h", [40])):
        path = f"{PRICES}/candles?ticker=btc_usd&interval={interval}&as_of={REPAIRED_AT}"
        answer = await api.get(path)
        assert [candle["samples"] for candle in answer.json()["items"]] == samples
        starts = answer.timestamps
        assert await _read_pages(api, f"{path}&limit=5") == starts
        whole = await api.get(path.replace(str(REPAIRED_AT), "now"))
        assert sum(candle["samples"] for candle in whole.json()["items"]) == 60


@pytest.mark.usefixtures("repaired")
async def test_export_holds_what_was_known_and_says_so_in_its_name(api: ApiClient) -> None:
    path = f"{PRICES}/export?ticker=btc_usd&as_of={REPAIRED_AT}"
    answer = await api.get(path)
    lines = answer.body.decode().splitlines()[1:]
    assert len(lines) == 40
    assert {line.rpartition(",")[2] for line in lines} == {"live"}
    assert "as-of-20260116T184640Z.csv" in answer.headers["content-disposition"]
    refused = await api.get(f"{path}&manifest=true")
    assert list(refused.errors_by_parameter) == ["manifest"]


@pytest.mark.usefixtures("repaired")
@pytest.mark.parametrize(
    "path",
    [
        DAY,
        HISTORY,
        CANDLES,
        f"{PRICES}/export?ticker=btc_usd",
        f"{PRICES}/at?ticker=btc_usd&timestamp={T0}",
    ],
)
async def test_moment_to_come_is_refused_by_every_route(api: ApiClient, path: str) -> None:
    answer = await api.get(f"{path}&as_of=9999-12-31")
    assert answer.status == 422
    assert list(answer.errors_by_parameter) == ["as_of"]
    assert (await api.get(f"{path}&as_of=now")).status == 200
    assert (await api.get(f"{path}&as_of=x")).status == 422
    assert (await api.get(f"{path}&as_of=0001-01-01")).status in {200, 404}


def _candles(answer: Answer) -> list[tuple[int, int]]:
    return [((one["timestamp"] - T0) // 300, one["samples"]) for one in answer.json()["items"]]


async def test_gaps_longer_than_the_limit_are_not_filled(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    """Candles 0, 1, 4 and 10: two and five are missing between them."""
    await store(sql, [T0 + 300 * number for number in (0, 1, 4, 10)])
    filled = f"{CANDLES}&fill=previous"
    short = [(0, 1), (1, 1), (2, 0), (3, 0), (4, 1), (10, 1)]
    everything = [(number, int(number in (0, 1, 4, 10))) for number in range(11)]
    for seconds, expected in (
        (0, [(0, 1), (1, 1), (4, 1), (10, 1)]),
        (599, [(0, 1), (1, 1), (4, 1), (10, 1)]),
        (600, short),
        (1499, short),
        (1500, everything),
    ):
        path = f"{filled}&max_gap_seconds={seconds}"
        assert _candles(await api.get(path)) == expected
        for limit in range(1, 12):
            starts = [T0 + 300 * number for number, _ in expected]
            assert await _read_pages(api, f"{path}&limit={limit}") == starts
        for first, last in ((2, 3), (3, 10), (5, 9), (6, 12), (0, 7)):
            bounds = f"&from_dt={T0 + 300 * first}&to_dt={T0 + 300 * last}"
            within = [one for one in expected if first <= one[0] <= last]
            answer = await api.get(path + bounds)
            assert (_candles(answer), answer.json()["next"]) == (within, None)
    assert _candles(await api.get(filled)) == everything


async def test_longest_gap_to_fill_needs_a_fill(api: ApiClient) -> None:
    answer = await api.get(f"{CANDLES}&max_gap_seconds=60")
    assert answer.errors_by_parameter == {"max_gap_seconds": "needs fill=previous or fill=null"}
