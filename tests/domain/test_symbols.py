"""Symbols: how tickers are named, found and drawn."""

import pytest

from app.domain.prices import TickerKey
from app.domain.symbols import Precision, search_tickers, symbol_of

BTC = TickerKey("deribit", "btc_usd")
ETH = TickerKey("deribit", "eth_usd")
ETH_BTC = TickerKey("deribit", "eth_btc")
KRAKEN_BTC = TickerKey("kraken", "btc_usd")
ALL = {ETH, KRAKEN_BTC, ETH_BTC, BTC}


@pytest.mark.parametrize(
    ("precision", "scale"),
    [
        (Precision(5, 2), 100),
        (Precision(5, 0), 1),
        (Precision(1, 2), 100),
        (Precision(1, 14), 10**14),
        (Precision(1, 18), 10**14),
        (Precision(13, 18), 100),
        (Precision(15, 4), 1),
        (Precision(20, 4), 1),
    ],
)
def test_scale_follows_the_digits_that_a_javascript_number_can_hold(
    precision: Precision, scale: int
) -> None:
    assert precision.scale == scale
    assert type(precision.scale) is int


def test_symbol_names_the_exchange_only_where_it_is_not_the_default_one() -> None:
    assert [symbol_of(key) for key in (BTC, KRAKEN_BTC)] == ["btc_usd", "kraken:btc_usd"]
    for key in ALL:
        assert TickerKey.from_input(symbol_of(key).upper()) == key


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", [BTC, ETH_BTC, ETH, KRAKEN_BTC]),
        ("BTC", [BTC, KRAKEN_BTC, ETH_BTC]),
        ("BTCUSD", [BTC, KRAKEN_BTC]),
        ("btc/usd", [BTC, KRAKEN_BTC]),
        ("USD", [BTC, ETH, KRAKEN_BTC]),
        ("Kraken:BTC", [KRAKEN_BTC]),
        ("doge", []),
    ],
)
def test_search_compares_letters_and_prefers_those_that_begin_so(
    text: str, found: list[TickerKey]
) -> None:
    assert search_tickers(ALL, text, "", 10) == found


def test_search_keeps_to_an_exchange_and_a_limit() -> None:
    assert search_tickers(ALL, "", "KRAKEN", 10) == [KRAKEN_BTC]
    assert search_tickers(ALL, "btc", "deribit", 10) == [BTC, ETH_BTC]
    assert search_tickers(ALL, "", "", 1) == [BTC]
    assert search_tickers(ALL, "", "binance", 10) == []
