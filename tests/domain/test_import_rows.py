"""What the rows of a file must be to be taken for prices."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.import_rows import RowParser, normalize_price
from app.domain.imports import ImportRequest, LatestTimestamps
from app.domain.prices import TickerKey
from app.domain.recordings import Recording
from app.domain.slots import Slot

LATEST = LatestTimestamps(2_000_000_000_000_000, {})
PLAIN = ("timestamp", "price")
FULL = ("price", "source", "ticker", "timestamp", "exchange", "observed_us")


def _sheet(
    columns: tuple[str, ...] = PLAIN, ticker: str | None = "btc_usd", interval: int = 60
) -> RowParser:
    return RowParser(columns, ImportRequest(None, ticker, interval), LATEST)


@pytest.mark.parametrize(
    ("stamp", "slot", "moment"),
    [
        ("1768579261", 1768579260, 1768579261000000),
        ("1768579261500", 1768579260, 1768579261500000),
        ("2026-01-16T16:01:01.5Z", 1768579260, 1768579261500000),
        ("2026-01-16 17:01:01+01:00", 1768579260, 1768579261000000),
        ("0", 0, 0),
    ],
)
def test_moments_are_read_in_every_form_and_put_on_the_grid(
    stamp: str, slot: int, moment: int
) -> None:
    assert _sheet().read([stamp, "1.5"]) == f"deribit,btc_usd,{slot},{moment},1.5,"


def test_columns_are_found_by_their_names() -> None:
    row = ["1.50", "live", "ETH_usd", "60", "Other", "60123456"]
    assert _sheet(FULL, None).read(row) == "other,eth_usd,60,60000000,1.50,60123456"
    assert _sheet(("Timestamp_unix_s ", " PRICE")).read(["60", "2"]).endswith(",60000000,2,")


@pytest.mark.parametrize("columns", [(), ("price",), ("timestamp", "close"), ("1483228800", "9")])
def test_file_without_named_columns_is_refused(columns: tuple[str, ...]) -> None:
    with pytest.raises(
        ValueError, match=r"^the first line must name the columns `timestamp` and `price`$"
    ):
        _sheet(columns)


def test_file_that_does_not_say_its_ticker_needs_one() -> None:
    with pytest.raises(ValueError, match=r"^it has no column `ticker`: name one with --ticker$"):
        _sheet(ticker=None)


def test_column_that_is_there_twice_is_told() -> None:
    with pytest.raises(ValueError, match=r"^it has the column price twice$"):
        _sheet(("timestamp", "price", "Price"))


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (["60"], "has 1 columns instead of 2"),
        (["60", "1", ""], "has 3 columns instead of 2"),
        (["noon", "1"], "timestamp 'noon' must be UNIX seconds"),
        (["", "1"], "timestamp '' must be"),
        (["-60", "1"], "timestamp '-60' lies before 1970"),
        (["2000000001", "1"], "timestamp '2000000001' lies in the future"),
        (["60", "dear"], "price 'dear' is no number"),
        (["60", ""], "price '' is no number"),
        (["60", "NaN"], "price 'NaN' is no number"),
        (["60", "1_000"], "price '1_000' is no number"),
        (["60", "٣"], "price '٣' is no number"),
        (["60", "0"], "price '0' is not above 0"),
        (["60", "0.00"], "price '0.00' is not above 0"),
        (["60", "-1"], "price '-1' is not above 0"),
        (["60", "1000000000000.1"], r"price '1000000000000\.1' is not above 0 and up to 10\^12"),
        (["60", f"0.{'1' * 41}"], "has over 40 decimals"),
        (["60", "1e-999999999"], "has over 40 decimals"),
        (["60", "1e999999999"], "is not above 0"),
        (["60", "1e-41"], "has over 40 decimals"),
        (["60", "9" * 500], "is no number"),
        (["60", "1".zfill(101)], "is no number"),
    ],
)
def test_row_that_makes_no_sense_is_told(row: list[str], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        _sheet().read(row)
    assert _sheet().read_plain([row]) is None


BTC = TickerKey("deribit", "btc_usd")
ETH = TickerKey("deribit", "eth_usd")


@pytest.mark.parametrize(("rows", "recorded"), [(60, 60), (60, 6), (6, 60)])
def test_ticker_that_is_being_recorded_ends_with_the_last_slot_that_is_due(
    rows: int, recorded: int
) -> None:
    """At 1000 s a live price may still come for the slot from 960 s, of the longer interval."""
    recordings = [Recording(BTC, recorded, Slot(0)), Recording(ETH, 60, Slot(0), Slot(60))]
    now_us = {BTC: 1_000_000_000, ETH: 1_200_000_000}
    latest = LatestTimestamps.of_recordings(1_100_000_000, now_us, recordings, rows)
    assert latest.for_ticker("deribit,btc_usd") == 959_999_999
    assert latest.for_ticker("deribit,eth_usd") == 1_200_000_000, "its recording has ended"
    assert latest.for_ticker("deribit,sol_usd") == 1_200_000_000, "it was never recorded"


def test_no_row_is_later_than_the_latest_of_all_clocks() -> None:
    assert LatestTimestamps.of_recordings(5, {}, [], 60) == (5, {})
    assert LatestTimestamps.of_recordings(5, {BTC: 4}, [], 60) == (5, {})
    assert LatestTimestamps.of_recordings(5, {BTC: 4, ETH: 7}, [], 60) == (7, {})


def test_names_that_differ_from_the_wanted_ones_are_told() -> None:
    sheet = _sheet(("timestamp", "price", "ticker"))
    with pytest.raises(ValueError, match="ticker 'eth_usd' is not btc_usd"):
        sheet.read(["60", "1", "eth_usd"])
    with pytest.raises(ValueError, match="ticker 'a,b' is no name"):
        sheet.read(["60", "1", "a,b"])
    with pytest.raises(ValueError, match="observed_us '6e1' is no whole number"):
        _sheet((*PLAIN, "observed_us")).read(["60", "1", "6e1"])


def test_digits_stay_as_they_are() -> None:
    for digits in ("1", "1.50", "0.000", "00.10", "1000000000000", f"1.{'0' * 39}1"):
        if Decimal(digits):
            assert normalize_price(digits) == digits
    assert [normalize_price(text) for text in (" 1.5 ", "1.5e3", "+2", "2.", ".5", "1E-7")] == [
        *("1.5", "1500", "2", "2", "0.5", "0.0000001")
    ]
    assert normalize_price("1e-40") == f"0.{'1'.zfill(40)}"
    assert normalize_price("1".zfill(100)) == "1"


@given(st.text("abyz_.-019", min_size=1, max_size=64))
def test_row_may_name_the_wanted_ticker_in_any_case(name: str) -> None:
    sheet = _sheet(("timestamp", "price", "ticker"), ticker=name)
    assert sheet.read(["60", "1", f" {name.upper()} "]) == f"deribit,{name},60,60000000,1,"


def test_row_of_a_recorded_ticker_may_not_lie_after_its_last_due_slot() -> None:
    """The slot from 60 s is the last one of btc_usd that is due; eth_usd is not recorded."""
    latest = LatestTimestamps(2_000_000_000_000_000, {"deribit,btc_usd": 119_999_999})
    sheet = RowParser((*PLAIN, "ticker"), ImportRequest(None, None, 60), latest)
    last = "1970-01-01T00:01:59.999999Z"
    assert sheet.read([last, "1", "btc_usd"]) == "deribit,btc_usd,60,119999999,1,"
    fault = "^timestamp '120' lies after the last slot that is due: its live price may still come$"
    with pytest.raises(ValueError, match=fault):
        sheet.read(["120", "1", "btc_usd"])
    assert sheet.read(["120", "1", "eth_usd"]) == "deribit,eth_usd,120,120000000,1,"


STAMPS = st.one_of(st.integers(-5, 3_000_000_000), st.integers(0, 99), st.just(10**11)).map(str)
PRICES = st.one_of(
    st.decimals(0, 10**13, allow_nan=False).map(str), st.sampled_from(["0", "1.50", "", "1e3"])
)


@given(
    st.lists(st.tuples(STAMPS, PRICES), min_size=1, max_size=4),
    st.sampled_from([1, 7, 60, 86_400]),
)
def test_rows_read_alike_are_what_each_would_be(rows: list[tuple[str, str]], interval: int) -> None:
    sheet = _sheet(interval=interval)
    alike = sheet.read_plain(rows)
    if alike is not None:
        assert alike == [sheet.read(row) for row in rows]


def test_plain_rows_are_read_alike() -> None:
    assert _sheet().read_plain([["60", "1.50"], ["119", "2"]]) == [
        "deribit,btc_usd,60,60000000,1.50,",
        "deribit,btc_usd,60,119000000,2,",
    ]
    columns = ("exchange", "ticker", "timestamp", "price", "source")
    of_two = [["deribit", ticker, "60", "1", "live"] for ticker in ("btc_usd", "eth_usd")]
    assert _sheet(columns, None).read_plain(of_two) is None


def test_plain_rows_may_reach_the_latest_timestamp() -> None:
    """It is 120 s for btc_usd, which is recorded, and now for eth_usd."""
    latest = LatestTimestamps(300 * 10**6, {"deribit,btc_usd": 120 * 10**6})
    sheet = RowParser((*PLAIN, "ticker"), ImportRequest(None, None, 60), latest)
    for row in (["120", "1", "btc_usd"], ["300", "1", "eth_usd"]):
        assert sheet.read_plain([row]) == [sheet.read(row)]
    for row in (["121", "1", "btc_usd"], ["301", "1", "eth_usd"]):
        assert sheet.read_plain([row]) is None
