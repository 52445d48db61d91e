"""Changes: which reads a write may have overtaken."""

from app.domain.changed_slots import EVERYTHING, Change
from app.domain.prices import TickerKey
from app.domain.slots import Slot

BTC = TickerKey("deribit", "btc_usd")
ETH = TickerKey("deribit", "eth_usd")


def test_change_overlaps_what_shares_a_second_with_it() -> None:
    change = Change(BTC, Slot(120), Slot(180))
    assert change.overlaps(BTC, 0, 120)
    assert change.overlaps(BTC, 180, 300)
    assert change.overlaps(BTC, 130, 140)
    assert change.overlaps(BTC, 0, 300)
    assert not change.overlaps(BTC, 0, 119)
    assert not change.overlaps(BTC, 181, 300)


def test_change_of_one_ticker_leaves_the_others_alone() -> None:
    assert not Change(BTC, Slot(120), Slot(180)).overlaps(ETH, 120, 180)
    assert EVERYTHING.overlaps(BTC, 120, 180)
    assert EVERYTHING.overlaps(ETH, -10, -5)
