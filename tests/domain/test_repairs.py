"""Repairs: which tickers a request covers, and how it goes on from slice to slice."""

import pytest

from app.domain.prices import TickerKey
from app.domain.repairs import QueuedRepair, RepairRequest, RepairResult, TickerRun

BTC = TickerKey("deribit", "btc_usd")
ETH = TickerKey("deribit", "eth_usd")
KRAKEN = TickerKey("kraken", "btc_usd")
REQUEST = RepairRequest("deribit", force=True)
NEW = QueuedRepair("one", REQUEST, number=7, since_us=5)
TROUBLE = TickerRun(20, code="exchange_timeout")


@pytest.mark.parametrize(
    ("exchange", "ticker", "covered"),
    [
        (None, None, [BTC, ETH, KRAKEN]),
        ("deribit", None, [BTC, ETH]),
        (None, "btc_usd", [BTC, KRAKEN]),
        ("kraken", "btc_usd", [KRAKEN]),
        ("kraken", "eth_usd", []),
    ],
)
def test_request_covers_the_tickers_that_it_names(
    exchange: str | None, ticker: str | None, covered: list[TickerKey]
) -> None:
    request = RepairRequest(exchange, ticker)
    assert [key for key in (BTC, ETH, KRAKEN) if request.covers(key)] == covered


def test_slices_add_up() -> None:
    once = NEW.after_slice({BTC: TickerRun(1, filled=3), ETH: TickerRun(1, filled=4)}, 2.5, 60)
    twice = once.after_slice({BTC: TickerRun(1, filled=5)}, 1.5, 60)
    assert (once.seconds, once.filled) == (2.5, 7)
    assert (twice.seconds, twice.filled) == (4, 12)
    assert (twice.id, twice.request, twice.number, twice.since_us) == ("one", REQUEST, 7, 5)
    assert twice.result is None


def test_ticker_is_settled_when_a_run_came_to_its_end() -> None:
    once = NEW.after_slice({BTC: TickerRun(1, ended=True), ETH: TickerRun(1)}, 2, 60)
    assert once.settled == {"deribit:btc_usd"}
    assert once.after_slice({ETH: TickerRun(1, ended=True)}, 2, 60).settled == {
        "deribit:btc_usd",
        "deribit:eth_usd",
    }
    assert (once.trouble_seconds, once.failed) == ({}, {})


def test_ticker_is_settled_when_its_trouble_has_lasted() -> None:
    repair, settled = NEW, []
    for _ in range(3):
        repair = repair.after_slice({BTC: TROUBLE, ETH: TickerRun(20)}, 40, 60)
        settled.append(set(repair.settled))
    assert settled == [set(), set(), {"deribit:btc_usd"}]
    assert repair.trouble_seconds == {"deribit:btc_usd": 60}
    assert repair.failed == {"deribit:btc_usd": "exchange_timeout"}


def test_run_that_ended_with_an_error_settles_nothing() -> None:
    """Some of its chunks may be left."""
    assert NEW.after_slice({BTC: TickerRun(1, ended=True, code="timeout")}, 1, 60).settled == set()


def test_ticker_is_settled_at_once_when_no_retry_may_help() -> None:
    refused = TickerRun(0.1, code="exchange_refused", retryable=False)
    once = NEW.after_slice({BTC: refused}, 0.1, 60)
    assert once.settled == {"deribit:btc_usd"}
    assert once.failed == {"deribit:btc_usd": "exchange_refused"}


def test_run_without_an_error_ends_a_failure_and_the_time_of_trouble_stays() -> None:
    runs = {BTC: TROUBLE, ETH: TROUBLE}
    again = NEW.after_slice(runs, 20, 60).after_slice({BTC: TickerRun(9, filled=1)}, 9, 60)
    assert again.failed == {"deribit:eth_usd": "exchange_timeout"}
    assert again.trouble_seconds == {"deribit:btc_usd": 20, "deribit:eth_usd": 20}
    assert again.settled == set()


def test_result_is_that_of_the_last_slice_with_what_all_of_them_filled() -> None:
    repair = NEW.after_slice({BTC: TickerRun(1, filled=3), ETH: TROUBLE}, 2, 60)
    ended = repair.ended(RepairResult(filled=1, unfillable=2, remaining=4), [ETH])
    assert ended.result == RepairResult(3, 2, 4, {"eth_usd": "exchange_timeout"})
    assert (ended.id, ended.filled, ended.failed) == ("one", 3, repair.failed)


def test_ticker_whose_gaps_others_filled_did_not_fail() -> None:
    repair = NEW.after_slice({BTC: TROUBLE, ETH: TROUBLE}, 2, 60)
    assert repair.ended(RepairResult(), [BTC]).result == RepairResult(
        failed={"btc_usd": "exchange_timeout"}
    )
    assert repair.ended(RepairResult(), []).result == RepairResult()


def test_broken_repair_failed_as_a_whole_and_keeps_what_it_filled() -> None:
    repair = NEW.after_slice({BTC: TickerRun(1, filled=3)}, 2, 60)
    broken = repair.as_failed("internal_error")
    assert broken.result == RepairResult(filled=3, failed={"*": "internal_error"})
    assert (broken.id, broken.request) == ("one", REQUEST)
