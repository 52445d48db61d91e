"""Prices and the tickers that they belong to."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from app.domain.prices import (
    Price,
    Quote,
    Source,
    TickerKey,
    names_without_common_exchange,
    split_ticker,
)

BTC = TickerKey("deribit", "btc_usd")


@given(
    st.decimals(allow_nan=False, allow_infinity=False),
    st.integers(0, 2**52),
    st.integers(1, 86_400),
)
def test_quote_lands_in_the_slot_of_its_stamp(price: Decimal, stamp_us: int, seconds: int) -> None:
    kept = Price.live(Quote(BTC, price, stamp_us), seconds)
    assert (kept.key, kept.observed_us, kept.source) == (BTC, stamp_us, Source.LIVE)
    assert kept.price.as_tuple() == price.as_tuple()
    assert kept.slot <= stamp_us / 1_000_000
    assert kept.slot % seconds == 0


def test_ticker_is_written_with_its_exchange() -> None:
    assert str(BTC) == "deribit:btc_usd"
    assert min(TickerKey("other", "a"), BTC) == BTC


@given(st.text().filter(lambda name: ":" not in name), st.text())
def test_written_ticker_is_read_as_the_same(exchange: str, ticker: str) -> None:
    key = TickerKey(exchange, ticker)
    assert TickerKey.parse(str(key)) == key


def test_stored_ticker_may_contain_colons() -> None:
    assert TickerKey.parse("deribit:a:b") == TickerKey("deribit", "a:b")
    assert TickerKey.parse("Deribit:BTC") == TickerKey("Deribit", "BTC"), "in its own case"


def test_user_names_a_ticker_with_or_without_its_exchange_in_any_case() -> None:
    assert split_ticker("Kraken:BTC_usd") == ("kraken", "btc_usd")
    assert split_ticker("BTC_usd") == ("", "btc_usd")
    assert split_ticker("a:b:c") == ("a:b", "c")
    assert TickerKey.from_input("Kraken:BTC_usd", "Other") == TickerKey("kraken", "btc_usd")
    assert TickerKey.from_input("BTC_usd", "Kraken") == TickerKey("kraken", "btc_usd")
    assert TickerKey.from_input("BTC_usd") == BTC


def test_result_names_the_exchange_only_where_there_are_several() -> None:
    btc, other = TickerKey("deribit", "btc_usd"), TickerKey("kraken", "btc_usd")
    assert names_without_common_exchange([btc]) == {btc: "btc_usd"}
    assert names_without_common_exchange([btc, other, btc]) == {
        btc: "deribit:btc_usd",
        other: "kraken:btc_usd",
    }
