"""Positions in the stream: what they hold, and what is no position."""

from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.changed_slots import CHANGES_RETENTION_SECONDS
from app.domain.price_stream import (
    NO_POSITION,
    NewRow,
    NewRows,
    PartOfBatch,
    StreamPosition,
)
from app.domain.prices import Source, TickerKey
from app.domain.slots import Slot

BTC = TickerKey("deribit", "btc_usd")
ETH = TickerKey("deribit", "eth_usd")
START = StreamPosition("7504-1", 1_768_579_260, "740:745:741,743")
NOW = StreamPosition("7504-1", 1_768_579_320, "746:746:")


def _row(key: TickerKey, slot: int) -> NewRow:
    return NewRow(key, Slot(slot), "95123.45", Source.LIVE)


@given(
    slot=st.integers(-(2**62), 2**62),
    ticker=st.text(st.characters(blacklist_characters="\0", codec="utf-8"), max_size=40),
)
def test_a_position_within_a_batch_survives_its_text(slot: int, ticker: str) -> None:
    part = PartOfBatch("746:746:", TickerKey("deribit", ticker), Slot(slot))
    position = START._replace(part=part)
    assert StreamPosition.decode(position.encode()) == position
    assert StreamPosition.decode(START.encode()) == START


def test_the_text_needs_no_escaping_in_an_address_or_a_header() -> None:
    assert set(START.encode()) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    )


@pytest.mark.parametrize(
    "snapshot",
    [
        "",
        "740:745",
        "0:745:",
        "745:740:",
        "740:745:739",
        "740:745:745",
        "740:745:743,741",
        "740:745:741,",
        "740:745:741;DROP TABLE prices",
        "9999999999999999999:9999999999999999999:",
        " 740:745:",
    ],
)
def test_what_postgresql_would_refuse_as_a_snapshot_is_no_position(snapshot: str) -> None:
    with pytest.raises(ValueError, match="no position"):
        StreamPosition.decode(START._replace(snapshot=snapshot).encode())
    inner = PartOfBatch(snapshot, BTC, Slot(60))
    with pytest.raises(ValueError, match="no position"):
        StreamPosition.decode(START._replace(part=inner).encode())


@pytest.mark.parametrize("name", ["\0", "\ud800"])
def test_a_name_that_postgresql_can_not_hold_is_no_position(name: str) -> None:
    part = PartOfBatch(NOW.snapshot, TickerKey(name, "btc_usd"), Slot(60))
    with pytest.raises(ValueError):  # noqa: PT011  # of this class, or of the encoding
        StreamPosition.decode(START._replace(part=part).encode())


@pytest.mark.parametrize("nested", ["[" * 5900, '{"a":' * 1100])
def test_deeply_nested_lists_are_no_position(nested: str) -> None:
    """Python's parser ends with RecursionError."""
    with pytest.raises(ValueError, match=NO_POSITION):
        StreamPosition.decode(urlsafe_b64encode(nested.encode()).decode())


@given(st.text(max_size=60))
def test_any_other_text_is_no_position(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # of json, of base64, or of this class
        StreamPosition.decode(text)


def test_a_position_reaches_an_hour_of_the_same_history() -> None:
    def later(
        seconds: int, numbering: str = "7504-1", snapshot: str = "746:746:"
    ) -> StreamPosition:
        return StreamPosition(numbering, START.taken_at + seconds, snapshot)

    assert START.can_resume_at(later(0))
    assert START.can_resume_at(later(CHANGES_RETENTION_SECONDS))
    assert not START.can_resume_at(later(CHANGES_RETENTION_SECONDS + 1))
    assert not START.can_resume_at(later(-1)), "the clock was set back"
    assert not START.can_resume_at(later(60, numbering="7504-2")), "another timeline"
    assert not START.can_resume_at(later(60, snapshot="700:744:")), (
        "a restore took transactions back"
    )


def test_each_row_of_news_has_the_position_from_which_the_rest_is_told() -> None:
    rows = [_row(BTC, 60), _row(BTC, 120), _row(ETH, 60)]
    news = NewRows(START, NOW, NOW, rows)
    told = news.rows_of(frozenset({BTC, ETH}))
    assert [row for row, _ in told] == rows
    first, second, last = (position for _, position in told)
    assert first.part == PartOfBatch(NOW.snapshot, BTC, Slot(60))
    assert second.part == PartOfBatch(NOW.snapshot, BTC, Slot(120))
    assert last == NOW
    assert news.rows_of(frozenset({BTC}))[-1] == (rows[1], NOW), "the rest is of other tickers"
    assert news.rows_of(frozenset()) == []
