"""TradingView's UDF protocol, as its client uses it."""

import time
from decimal import Decimal

import asyncpg
import pytest

from app.core.settings import Settings
from tests.api.client import ApiClient, running_api
from tests.api.udf_client import Parameters, UdfClient, UdfError
from tests.repositories.rows import store

START = 1_768_521_600
"""A Friday, 00:00 UTC."""
DAY = 86_400
RESOLUTIONS = {
    "1": 60,
    "5": 300,
    "15": 900,
    "30": 1800,
    "60": 3600,
    "240": 14_400,
    "1D": DAY,
    "1W": 7 * DAY,
}
SEGMENTS = (
    range(START, START + 7_200, 60),
    range(START + DAY, START + DAY + 3_600, 60),
    range(START + 30 * DAY, START + 30 * DAY + 10_800, 60),
)
"""Three runs of minutes, with a gap of most of a day and one of four weeks."""
MINUTES = [minute for segment in SEGMENTS for minute in segment]
END = MINUTES[-1] + 60


@pytest.fixture
def udf(api: ApiClient) -> UdfClient:
    return UdfClient(api)


@pytest.fixture
async def minutes(sql: asyncpg.Connection) -> None:
    for number, minute in enumerate(MINUTES):
        await store(sql, [minute], price=f"{95000 + number % 50}.50")


async def test_config_is_what_the_library_needs(udf: UdfClient) -> None:
    config = await udf.send("config")
    assert config["supports_search"] is True
    assert config["supports_group_request"] is False
    assert config["supports_time"] is True
    assert config["supports_marks"] is config["supports_timescale_marks"] is False
    assert config["supported_resolutions"] == list(RESOLUTIONS)
    assert [exchange["value"] for exchange in config["exchanges"]] == ["", "deribit"]
    assert [kind["value"] for kind in config["symbols_types"]] == ["", "index"]


async def test_config_needs_no_table(udf: UdfClient, sql: asyncpg.Connection) -> None:
    await sql.execute("DROP TABLE prices, price_hours")
    assert (await udf.send("config"))["supports_search"] is True


async def test_time_is_a_bare_integer(api: ApiClient) -> None:
    before = int(time.time())
    answer = await api.get("/udf/time")
    assert answer.body.isdigit()
    assert before <= int(answer.body) <= time.time()


async def test_symbol_is_asked_for_in_capitals_and_has_a_ticker(
    udf: UdfClient, sql: asyncpg.Connection
) -> None:
    await store(sql, [START], price="95123.45")
    symbol = await udf.send("symbols", symbol="BTC_USD")
    assert symbol["ticker"] == symbol["name"] == "btc_usd"
    assert symbol["full_name"] == "deribit:btc_usd"
    assert symbol["exchange"] == symbol["listed_exchange"] == "deribit"
    assert (symbol["session"], symbol["timezone"]) == ("24x7", "Etc/UTC")
    assert (symbol["type"], symbol["format"]) == ("index", "price")
    assert (symbol["minmov"], symbol["pricescale"]) == (1, 100)
    assert symbol["has_intraday"] is symbol["has_daily"] is symbol["has_weekly_and_monthly"] is True
    assert symbol["intraday_multipliers"] == ["1", "5", "15", "30", "60", "240"]
    assert symbol["daily_multipliers"] == symbol["weekly_multipliers"] == ["1"]
    assert symbol["monthly_multipliers"] == []
    assert symbol["supported_resolutions"] == list(RESOLUTIONS)
    assert symbol["visible_plots_set"] == "ohlc"
    for name in (symbol["ticker"], symbol["full_name"], symbol["full_name"].upper()):
        assert await udf.send("symbols", symbol=name) == symbol


@pytest.mark.parametrize(
    ("price", "scale"),
    [
        ("95123", 1),
        ("95123.50", 10),
        ("0.00001234", 10**8),
        ("0.00000000000000001234", 10**14),
        ("123456789012.123456", 1000),
    ],
)
async def test_price_scale_follows_the_digits_of_recent_prices(
    udf: UdfClient, sql: asyncpg.Connection, price: str, scale: int
) -> None:
    await store(sql, [START], price=price)
    assert (await udf.send("symbols", symbol="BTC_USD"))["pricescale"] == scale


async def test_symbol_without_a_price_is_drawn_with_two_places(udf: UdfClient) -> None:
    assert (await udf.send("symbols", symbol="ETH_USD"))["pricescale"] == 100


async def test_search_finds_what_is_configured_and_what_is_stored(
    udf: UdfClient, sql: asyncpg.Connection
) -> None:
    await store(sql, [START], ticker="sol_usd")
    await store(sql, [START], ticker="btc_usd", exchange="kraken")

    async def search(query: str, **others: Parameters) -> list[str]:
        found = await udf.send("search", query=query, **{"type": "", "exchange": "", **others})
        return [item["ticker"] for item in found]

    assert await search("") == ["btc_usd", "eth_usd", "sol_usd", "kraken:btc_usd"]
    assert await search("BTC") == ["btc_usd", "kraken:btc_usd"]
    assert await search("BTC", exchange="kraken") == ["kraken:btc_usd"]
    assert await search("USD", limit=2) == ["btc_usd", "eth_usd"]
    assert await search("SOL", type="index") == ["sol_usd"]
    assert await search("SOL", type="stock") == await search("DOGE") == []
    assert await udf.send("search", query="SOL") == [
        {
            "symbol": "sol_usd",
            "ticker": "sol_usd",
            "full_name": "deribit:sol_usd",
            "description": "Index price sol_usd of deribit",
            "exchange": "deribit",
            "type": "index",
        }
    ]


async def test_ticker_of_another_exchange_is_drawn_under_the_name_that_was_found(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    await store(sql, [START], exchange="kraken", price="5")
    udf = UdfClient(api, "KRAKEN:BTC_USD")
    assert (await udf.send("symbols", symbol="KRAKEN:BTC_USD"))["ticker"] == "kraken:btc_usd"
    assert [bar.open for bar in (await udf.history(to=END, countback=1)).bars] == [5]
    assert (await UdfClient(api).history(to=END, countback=1)).has_no_data


async def test_bars_are_numbers_with_exactly_the_stored_digits_and_no_volume(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    digits = "3.0000000000000000000000000000000000000001"
    for number, price in enumerate(("95000.10", "95001", "94000.5", digits)):
        await store(sql, [START + 60 * number], price=price)
    answer = await api.get(
        f"/udf/history?symbol=BTC_USD&resolution=5&from={START}&to={END}&countback=2"
    )
    assert answer.headers["content-type"] == "application/json"
    assert answer.body == (
        b'{"s":"ok","t":[1768521600],"o":[95000.10],"h":[95001],"l":[%b],"c":[%b]}'
        % (digits.encode(), digits.encode())
    )


@pytest.mark.usefixtures("minutes")
@pytest.mark.parametrize(("resolution", "width"), RESOLUTIONS.items())
async def test_every_resolution_has_every_bar(udf: UdfClient, resolution: str, width: int) -> None:
    week_starts_on_monday = 3 * DAY if resolution == "1W" else 0
    starts = sorted({m - (m + week_starts_on_monday) % width for m in MINUTES})
    assert (await udf.history(resolution, to=END, countback=1000)).times == starts
    if resolution in {"1D", "1W"}:
        assert (await udf.history(resolution[1], to=END, countback=1000)).times == starts


@pytest.mark.usefixtures("minutes")
async def test_countback_is_exact_across_gaps_and_wins_over_from(udf: UdfClient) -> None:
    """CountbackMinutes: as many bars as asked for, though `from` allows fewer, or more."""
    for count in (1, 2, 180, 181, 241, len(MINUTES) - 1, len(MINUTES)):
        for start in (START, END - 60, END + 5 * DAY):
            history = await udf.history(from_=start, to=END, countback=count)
            assert history.times == MINUTES[-count:]
    after_the_gap = await udf.history(from_=END, to=SEGMENTS[2][0], countback=61)
    assert after_the_gap.times == MINUTES[119:180]
    assert (await udf.history(to=END, countback=50_000)).times == MINUTES


@pytest.mark.usefixtures("minutes")
async def test_from_is_inclusive_and_to_is_exclusive(udf: UdfClient) -> None:
    assert (await udf.history(from_=START, to=START + 120)).times == [START, START + 60]
    assert (await udf.history(from_=START + 1, to=START + 121)).times == [START + 60, START + 120]
    assert (await udf.history(from_=START, to=START + 120, countback=0)).times == MINUTES[:2]
    for to, last in ((START + 60, START), (START + 61, START + 60)):
        assert (await udf.history(to=to, countback=1)).times == [last]
    assert (await udf.history("5", to=START + 301, countback=1)).times == [START + 300]
    assert (await udf.history("1D", to=START + DAY, countback=5)).times == [START]


@pytest.mark.usefixtures("minutes")
async def test_no_data_names_the_last_bar_before_unless_there_is_none(udf: UdfClient) -> None:
    """NoData, BeyondLeftBoundary: a chart stops only at the first row, and then it does."""
    gap = SEGMENTS[0].stop
    for start, to, earlier in (
        (gap, gap + 3600, SEGMENTS[0][-1]),
        (gap, gap, SEGMENTS[0][-1]),
        (END, END + DAY, MINUTES[-1]),
        (START - DAY, START, None),
        (START - 30, START, None),
        (-(10**9), 0, None),
    ):
        history = await udf.history(from_=start, to=to)
        assert (history.has_no_data, history.next_time) == (True, earlier), (start, to)
    hourly = await udf.history("60", from_=gap, to=gap + 3600)
    assert hourly.next_time == START + 3600
    for to in (START, START - DAY, 0, -(10**9)):
        history = await udf.history(to=to, countback=300)
        assert (history.has_no_data, history.next_time) == (True, None), to


async def test_known_symbol_without_a_row_has_no_data(udf: UdfClient) -> None:
    for history in (
        await udf.history(to=END, countback=2),
        await udf.history(from_=START, to=END),
    ):
        assert (history.has_no_data, history.next_time) == (True, None)


@pytest.mark.usefixtures("minutes")
@pytest.mark.parametrize("countback", [7, 60, 329])
async def test_paging_back_gives_every_bar_once_and_ends(udf: UdfClient, countback: int) -> None:
    """SeveralShortQueriesEqualsLargeQuery."""
    whole = (await udf.history(from_=START, to=END)).bars
    pages = [page async for page in udf.pages_back("1", END + 60, countback)]
    assert [bar for page in reversed(pages) for bar in page] == whole
    assert {len(page) for page in pages[:-1]} <= {countback}


@pytest.mark.usefixtures("minutes")
async def test_the_same_question_has_the_same_answer(udf: UdfClient) -> None:
    """Repeatability, and TimeCorrectness: a bar begins at a multiple of its resolution."""
    for resolution, width in list(RESOLUTIONS.items())[:-1]:
        first, second = [await udf.history(resolution, to=END, countback=50) for _ in range(2)]
        assert first == second
        assert {bar.time % width for bar in first.bars} == {0}


async def test_updates_of_a_bar_end_as_history_has_it(
    udf: UdfClient, sql: asyncpg.Connection
) -> None:
    """StreamingHistoryEquality: the library polls two bars, and keeps the last state of each."""
    streamed = {}
    for second, price in enumerate(("10", "12", "9", "11", "20", "19", "21")):
        await store(sql, [START + 60 * second], price=price)
        now = START + 60 * second + 30
        for bar in (await udf.history("5", from_=now - 3000, to=now, countback=2)).bars:
            streamed[bar.time] = bar
    assert list(streamed.values()) == (await udf.history("5", to=END, countback=9)).bars
    assert [bar[1:] for bar in streamed.values()] == [
        (Decimal(10), Decimal(20), Decimal(9), Decimal(20)),
        (Decimal(19), Decimal(21), Decimal(19), Decimal(21)),
    ]


HISTORY = "history?symbol=BTC_USD&resolution=1"
FAILURES = {
    "symbols?symbol=NOPE_USD": "no ticker deribit:nope_usd is known",
    "symbols?symbol=%00": "symbol: ",
    "symbols?symbol=": "symbol: ",
    "symbols": "symbol: Field required",
    "search?limit=0": "limit: ",
    f"search?query={'x' * 101}": "query: ",
    "history?symbol=NOPE_USD&resolution=1&from=0&to=5": "no ticker deribit:nope_usd is known",
    "history?symbol=BTC_USD&resolution=7&from=0&to=5": "resolution: is unknown; known are 1, 5, ",
    "history?symbol=BTC_USD&from=0&to=5": "resolution: Field required",
    f"{HISTORY}&from=0": "to: Field required",
    f"{HISTORY}&to=5": "from: is required without countback",
    f"{HISTORY}&from=6&to=5": "from: must not be after to",
    f"{HISTORY}&from=0&to=soon": "to: ",
    f"{HISTORY}&from=0&to=1e20": "to: ",
    f"{HISTORY}&from=0&to={'9' * 5000}": "to: ",
    f"{HISTORY}&to=5&countback=-1": "countback: ",
    f"{HISTORY}&to=5&countback=many": "countback: ",
}


@pytest.mark.parametrize("request_", FAILURES)
async def test_every_failure_is_an_error_of_the_protocol(api: ApiClient, request_: str) -> None:
    """The client parses the body whatever the status is."""
    answer = await api.get(f"/udf/{request_}")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    error = answer.json()
    assert set(error) == {"s", "errmsg"}
    assert error["s"] == "error"
    assert error["errmsg"].startswith(FAILURES[request_])


async def test_trouble_of_the_server_is_an_error_of_the_protocol(
    udf: UdfClient, sql: asyncpg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    await sql.execute("ALTER TABLE prices RENAME timestamp TO moment")
    for request in (udf.history(to=END, countback=5), udf.history(from_=0, to=5)):
        with pytest.raises(UdfError, match="alembic upgrade head"):
            await request
    assert "schema_outdated" in caplog.text
    await sql.execute("ALTER TABLE prices RENAME moment TO timestamp")
    await sql.execute(
        "ALTER TABLE prices DROP CONSTRAINT prices_timestamp_in_range, "
        "ALTER COLUMN timestamp TYPE text USING timestamp::text"
    )
    with pytest.raises(UdfError, match="the log tells more"):
        await udf.history(to=END, countback=5)
    assert "request_broke" in caplog.text


async def test_other_addresses_below_keep_their_status(api: ApiClient) -> None:
    unknown = await api.get("/udf/quotes?symbols=BTC_USD")
    assert (unknown.status, unknown.json()) == (404, {"s": "error", "errmsg": "Not Found"})
    posted = await api.post("/udf/config")
    assert (posted.status, posted.json()["s"], posted.headers["allow"]) == (405, "error", "GET")
    assert (await api.get("/udfs")).code == "route_not_found"


async def test_extra_parameters_are_ignored(api: ApiClient) -> None:
    for path in ("config", "time", "search", "symbols?symbol=BTC_USD"):
        answer = await api.get(f"/udf/{path}{'&' if '?' in path else '?'}unitId=x&_=1")
        assert answer.status == 200
        assert b'"error"' not in answer.body


async def test_chart_of_another_origin_may_read(settings: Settings) -> None:
    origin = "https://chart.example"
    allowing = settings.model_copy(update={"cors_origins": [origin]})
    async with running_api(allowing) as api:
        answer = await api.get("/udf/time", Origin=origin)
    assert answer.headers["access-control-allow-origin"] == origin
