"""Candles over HTTP."""

from decimal import Decimal

import asyncpg
import pytest

from app.domain.prices import TickerKey
from app.domain.recordings import Recording
from app.domain.slots import Slot
from app.postgres.database import Database
from app.repositories import recordings
from tests.api.client import ApiClient
from tests.api.test_pagination import pages
from tests.repositories.rows import store

START = 1_768_579_200
CANDLES = "/api/v1/prices/candles?ticker=btc_usd"
PRICES = {0: "95000.10", 60: "95001", 120: "94000.5", 240: "94500.00", 660: "94600"}


@pytest.fixture
async def stored_prices(sql: asyncpg.Connection) -> None:
    """Four prices in the first five minutes, none in the second, one in the third."""
    for second, price in PRICES.items():
        await store(sql, [START + second], price=price)


async def _store_live(sql: asyncpg.Connection, slot: int, observed: float, key: TickerKey) -> None:
    """Store a live price that came at a moment of the exchange's clock, just now."""
    await sql.execute(
        "INSERT INTO prices (exchange, ticker, timestamp, price, observed_us, source, created_at) "
        "VALUES ($1, $2, $3, 5, $4, 'live', clock_timestamp())",
        *key,
        slot,
        round(observed * 1_000_000),
    )


def _filled(start: int, price: str) -> bytes:
    return (
        f'{{"timestamp":{start},"open":{price},"high":{price},"low":{price},"close":{price},'
        f'"samples":0,"closed":true}}'
    ).encode()


@pytest.mark.usefixtures("stored_prices")
async def test_candles_have_the_shape_of_the_contract(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    await _store_live(sql, START + 900, START + 910.0, TickerKey("deribit", "btc_usd"))
    answer = await api.get(f"{CANDLES}&interval=5m")
    assert answer.headers["content-type"] == "application/json"
    assert "link" not in answer.headers
    assert answer.body == (
        b'{"exchange":"deribit","ticker":"btc_usd","interval":"5m","count":3,"items":['
        b'{"timestamp":1768579200,"open":95000.10,"high":95001,"low":94000.5,"close":94500.00,'
        b'"samples":4,"closed":true},'
        b'{"timestamp":1768579800,"open":94600,"high":94600,"low":94600,"close":94600,'
        b'"samples":1,"closed":false},'
        b'{"timestamp":1768580100,"open":5,"high":5,"low":5,"close":5,'
        b'"samples":1,"closed":false}],"next":null}'
    )


@pytest.mark.usefixtures("stored_prices")
async def test_day_is_a_utc_day(api: ApiClient) -> None:
    answer = await api.get(f"{CANDLES}&interval=1d")
    (candle,) = answer.json()["items"]
    assert candle["timestamp"] == 1_768_521_600
    assert (candle["samples"], candle["open"], candle["close"]) == (5, 95000.10, 94600)


@pytest.mark.usefixtures("stored_prices")
async def test_week_starts_on_monday(api: ApiClient, sql: asyncpg.Connection) -> None:
    """The five prices are of Friday, 16 January 2026; the last second of Sunday is theirs too."""
    monday = 1_768_780_800
    await store(sql, [monday - 1, monday], price="7")
    weeks = f"{CANDLES}&interval=1w"
    first, second = (await api.get(weeks)).json()["items"]
    assert (first["timestamp"], second["timestamp"]) == (monday - 604_800, monday)
    assert (first["samples"], first["close"], second["open"]) == (6, 7, 7)
    assert (await api.get(f"{weeks}&from_dt={START}")).timestamps == [monday]
    assert (await api.get(f"{weeks}&to_dt={monday - 1}")).timestamps == [monday - 604_800]


@pytest.mark.usefixtures("stored_prices")
@pytest.mark.parametrize("interval", ["1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w"])
async def test_every_interval_holds_the_same_prices(api: ApiClient, interval: str) -> None:
    items = (await api.get(f"{CANDLES}&interval={interval}")).json()["items"]
    assert (items[0]["open"], items[-1]["close"]) == (95000.10, 94600)
    assert max(item["high"] for item in items) == 95001
    assert min(item["low"] for item in items) == 94000.5
    assert sum(item["samples"] for item in items) == 5


@pytest.mark.usefixtures("stored_prices")
async def test_period_selects_candles_by_their_start_and_each_is_whole(api: ApiClient) -> None:
    minutes = f"{CANDLES}&interval=1m&from_dt={START + 60}&to_dt={START + 240}"
    assert (await api.get(minutes)).timestamps == [START + 60, START + 120, START + 240]
    begun_before = await api.get(f"{CANDLES}&interval=5m&from_dt={START + 1}")
    assert begun_before.timestamps == [START + 600]
    ends_after = await api.get(f"{CANDLES}&interval=5m&to_dt={START}")
    assert [(c["timestamp"], c["samples"]) for c in ends_after.json()["items"]] == [(START, 4)]
    nothing_starts = await api.get(f"{CANDLES}&interval=5m&from_dt={START + 1}&to_dt={START + 2}")
    assert (nothing_starts.status, nothing_starts.timestamps) == (200, [])


@pytest.mark.usefixtures("stored_prices")
async def test_nothing_recorded_is_filled_as_asked(api: ApiClient) -> None:
    second = START + 300
    previous = await api.get(f"{CANDLES}&interval=5m&fill=previous&from_dt={second}")
    assert previous.timestamps == [second, START + 600]
    assert _filled(second, "94500.00") in previous.body
    nulls = await api.get(f"{CANDLES}&interval=5m&fill=null&from_dt={second}&to_dt={second}")
    assert b'"items":[' + _filled(second, "null") + b"]" in nulls.body
    assert (await api.get(f"{CANDLES}&interval=5m&fill=none")).timestamps == [START, START + 600]


@pytest.mark.usefixtures("stored_prices")
@pytest.mark.parametrize("fill", ["none", "previous", "null"])
async def test_following_next_gives_every_candle_once(api: ApiClient, fill: str) -> None:
    path = f"{CANDLES}&interval=1m&fill={fill}&from_dt={START + 30}&to_dt={START + 600}"
    whole = (await api.get(path)).json()["items"]
    assert len(whole) == {"none": 3, "previous": 10, "null": 10}[fill]
    for limit in (1, 2, 3, 10):
        found = [page.json() async for page in pages(api, f"{path}&limit={limit}")]
        assert [item for page in found for item in page["items"]] == whole
        assert {page["count"] for page in found[:-1]} <= {limit}
        assert {(page["interval"], page["ticker"]) for page in found} == {("1m", "btc_usd")}


@pytest.mark.usefixtures("stored_prices")
async def test_cursor_of_other_candles_is_refused(api: ApiClient) -> None:
    url = str((await api.get(f"{CANDLES}&interval=1m&limit=1")).json()["next"])
    for ours, theirs in (
        ("btc_usd", "eth_usd"),
        ("interval=1m", "interval=5m"),
        ("fill=none", "fill=null"),
    ):
        assert set((await api.get(url.replace(ours, theirs))).errors_by_parameter) == {"cursor"}
    period = (
        url.replace("/candles", "/period").replace("&interval=1m", "").replace("&fill=none", "")
    )
    assert set((await api.get(period)).errors_by_parameter) == {"cursor"}


async def test_candle_is_closed_half_an_interval_after_its_last_slot(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    key = TickerKey("deribit", "btc_usd")
    await store(sql, [START])
    for second, closed in ((80.0, False), (95.0, True)):
        await sql.execute("DELETE FROM prices WHERE timestamp = $1", START + 60)
        await _store_live(sql, START + 60, START + second, key)
        (first, second_one) = (await api.get(f"{CANDLES}&interval=1m")).json()["items"]
        assert (first["closed"], second_one["closed"]) == (closed, False)


async def test_ticker_that_is_no_longer_recorded_has_closed_candles(
    api: ApiClient, sql: asyncpg.Connection, database: Database
) -> None:
    key = TickerKey("deribit", "old_usd")
    async with database.transaction() as session:
        await recordings.upsert(session, [Recording(key, 3600, Slot(START), Slot(START))])
    url = "/api/v1/prices/candles?ticker=old_usd&interval=1h"
    hour = START // 3600 * 3600
    for present, closed in ((hour + 3700.0, False), (hour + 5410.0, True)):
        await sql.execute("DELETE FROM prices")
        await _store_live(sql, hour, present, key)
        (candle,) = (await api.get(url)).json()["items"]
        assert (candle["timestamp"], candle["closed"]) == (hour, closed)


async def test_imported_ticker_has_closed_candles(api: ApiClient, sql: asyncpg.Connection) -> None:
    await store(sql, [START], ticker="old_usd", source="import")
    url = "/api/v1/prices/candles?ticker=OLD_usd&interval=1d"
    assert [candle["closed"] for candle in (await api.get(url)).json()["items"]] == [True]


@pytest.mark.usefixtures("stored_prices")
async def test_late_row_changes_the_candles_it_lies_in(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    await store(sql, [START + 1], price="99999", source="backfill")
    for interval in ("1m", "30m", "1h", "1d", "1w"):
        first = (await api.get(f"{CANDLES}&interval={interval}")).json()["items"][0]
        assert (first["open"], first["high"]) == (95000.10, 99999)


async def test_many_digits_leave_unchanged(api: ApiClient, sql: asyncpg.Connection) -> None:
    digits = "3.0000000000000000000000000000000000000000000000001"
    await store(sql, [START], price=digits)
    for interval in ("1m", "1h", "1d", "1w"):
        answer = await api.get(f"{CANDLES}&interval={interval}")
        assert answer.body.count(f":{Decimal(digits)},".encode()) == 4


async def test_known_ticker_without_rows_is_an_empty_list(api: ApiClient) -> None:
    for fill in ("none", "previous", "null"):
        answer = await api.get(f"{CANDLES}&interval=1h&fill={fill}&limit=1")
        assert (answer.status, answer.timestamps, answer.json()["next"]) == (200, [], None)


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("ticker=btc_usd", "interval"),
        ("ticker=btc_usd&interval=7m", "interval"),
        ("ticker=btc_usd&interval=", "interval"),
        ("ticker=btc_usd&interval=1H", "interval"),
        ("interval=1h", "ticker"),
        ("ticker=btc_usd&interval=1h&fill=zero", "fill"),
        ("ticker=btc_usd&interval=1h&limit=0", "limit"),
        ("ticker=btc_usd&interval=1h&limit=10001", "limit"),
        ("ticker=btc_usd&interval=1h&from_dt=2&to_dt=1", "from_dt"),
        ("ticker=btc_usd&interval=1h&from_dt=soon", "from_dt"),
        ("ticker=btc_usd&interval=1h&cursor=nonsense", "cursor"),
    ],
)
async def test_nonsense_is_refused(api: ApiClient, query: str, parameter: str) -> None:
    answer = await api.get(f"/api/v1/prices/candles?{query}")
    assert set(answer.errors_by_parameter) == {parameter}


async def test_unknown_ticker_is_not_found(api: ApiClient) -> None:
    answer = await api.get("/api/v1/prices/candles?ticker=nope_usd&interval=1h")
    assert (answer.status, answer.code) == (404, "ticker_not_found")


@pytest.mark.usefixtures("stored_prices")
@pytest.mark.parametrize("fill", ["none", "previous", "null"])
async def test_outermost_periods_are_no_trouble(api: ApiClient, fill: str) -> None:
    path = f"{CANDLES}&interval=1d&fill={fill}"
    first, last = -62_135_596_800, "9999-12-31T23:59:59Z"
    for period, count in (
        (f"from_dt={first}&to_dt={last}", 1),
        (f"from_dt={last}", 0),
        (f"to_dt={first}", 0),
        ("to_dt=-1", 0),
        ("from_dt=0", 1),
    ):
        answer = await api.get(f"{path}&{period}")
        assert (answer.status, answer.json()["count"]) == (200, count), period
