"""What an exported file is called, and how its lines are laid out."""

import pytest

from app.domain.exports import Export, ExportFormat
from app.domain.prices import TickerKey, TimeRange
from app.files.text_layouts import csv_layout, ndjson_layout

BTC = TickerKey("deribit", "btc_usd")
DAY = 1_767_225_600


@pytest.mark.parametrize(
    ("span", "stored", "name"),
    [
        (TimeRange(), TimeRange(DAY, DAY + 60), "20260101T000000Z-20260101T000100Z"),
        (TimeRange(0, None), TimeRange(DAY, DAY + 60), "19700101T000000Z-20260101T000100Z"),
        (TimeRange(DAY, DAY + 86_399), None, "20260101T000000Z-20260101T235959Z"),
        (TimeRange(-62_135_596_800, 253_402_300_799), None, "00010101T000000Z-99991231T235959Z"),
    ],
)
def test_file_is_named_after_its_ticker_and_its_time(
    span: TimeRange, stored: TimeRange | None, name: str
) -> None:
    export = Export(BTC, ExportFormat.PARQUET, span, stored, has_decimals=True)
    assert export.file_name == f"deribit-btc_usd-{name}.parquet"


def test_file_without_any_time_is_named_after_its_ticker() -> None:
    export = Export(BTC, ExportFormat.CSV, TimeRange(), None, has_decimals=True)
    assert export.file_name == "deribit-btc_usd.csv"


def test_lines_get_their_first_start_and_their_last_end() -> None:
    assert csv_layout(BTC).wrap(b"60,1.50,live") == b"deribit,btc_usd,60,1.50,live\n"
    assert ndjson_layout(BTC).wrap(b'60,"price":1.50,"source":"live') == (
        b'{"exchange":"deribit","ticker":"btc_usd","timestamp":60,"price":1.50,"source":"live"}\n'
    )
