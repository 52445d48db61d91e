"""Alerts: one for each change, whatever happens between."""

from collections.abc import Mapping
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.domain.alerts import MAX_PENDING, Alert, AlertState, TickerStatus
from app.domain.prices import TickerKey

BTC = TickerKey("deribit", "btc_usd")
ETH = TickerKey("deribit", "eth_usd")
NAME = "deribit:btc_usd"
WRONG_TEXT = (
    "deribit:btc_usd: 3 hourly summaries differ from their rows: "
    "`python -m app verify --rebuild` mends them"
)


def _stale(key: TickerKey = BTC, age: int | None = 190, reason: str = "beat") -> TickerStatus:
    return TickerStatus(key, is_stale=True, age_seconds=age, reason=reason)


def _fresh(key: TickerKey = BTC, age: int | None = 30) -> TickerStatus:
    return TickerStatus(key, is_stale=False, age_seconds=age, reason="")


def test_stale_ticker_is_told_with_its_age_and_the_reason() -> None:
    state = AlertState()
    assert state.update_tickers([_stale(), _fresh(ETH)], 1_000) == []
    assert state.pending == [
        Alert(
            "ticker_stale",
            "deribit",
            "btc_usd",
            190,
            "beat",
            1_000,
            "deribit:btc_usd is stale: the newest slot is 190 s old: beat",
        )
    ]
    assert state.stale == {NAME: "beat"}


def test_recovered_ticker_is_told_with_the_reason_that_it_was_stale_for() -> None:
    state = AlertState(stale={NAME: "beat", str(ETH): "worker"})
    assert state.update_tickers([_fresh()], 2_000) == []
    assert state.pending == [
        Alert(
            "ticker_recovered",
            "deribit",
            "btc_usd",
            30,
            "beat",
            2_000,
            "deribit:btc_usd is fresh again: the newest slot is 30 s old",
        )
    ]
    assert state.stale == {str(ETH): "worker"}


def test_ticker_without_a_price_has_no_age() -> None:
    state = AlertState()
    state.update_tickers([_stale(age=None)], 1)
    state.update_tickers([_fresh(age=None)], 2)
    assert [(alert.age_seconds, alert.text) for alert in state.pending] == [
        (None, "deribit:btc_usd is stale: no live price is known: beat"),
        (None, "deribit:btc_usd is fresh again: no live price is known"),
    ]


def test_status_that_lasts_is_told_once_with_its_first_reason() -> None:
    state = AlertState()
    for at, status in enumerate([_fresh(), _stale(), _stale(reason="worker"), _fresh(), _fresh()]):
        state.update_tickers([status], at)
    assert [(alert.event, alert.at, alert.reason) for alert in state.pending] == [
        ("ticker_stale", 1, "beat"),
        ("ticker_recovered", 3, "beat"),
    ]


def test_ticker_that_is_not_configured_any_more_is_forgotten_without_an_alert() -> None:
    state = AlertState(stale={NAME: "beat", str(ETH): "worker"}, wrong={str(ETH): "3"})
    state.remove_stale_except([BTC])
    assert (state.stale, state.wrong, state.pending) == ({NAME: "beat"}, {str(ETH): "3"}, [])


def test_wrong_summaries_are_told_with_their_number_and_their_cure() -> None:
    state = AlertState()
    assert state.update_summaries({NAME: {0: 1, 7: 2, 14: 0}, str(ETH): {0: 0}}, 1_000) == []
    reason = "3 hourly summaries differ from their rows"
    assert state.pending == [
        Alert("summaries_wrong", "deribit", "btc_usd", None, reason, 1_000, WRONG_TEXT)
    ]
    assert (state.wrong, state.wrong_parts) == ({NAME: reason}, {NAME: [0, 7]})


def test_right_summaries_are_told_with_the_reason_that_they_were_wrong_for() -> None:
    state = AlertState()
    state.update_summaries({NAME: {0: 3}}, 1_000)
    state.pending.clear()
    assert state.update_summaries({NAME: {0: 0}}, 2_000) == []
    assert state.pending == [
        Alert(
            "summaries_right",
            "deribit",
            "btc_usd",
            None,
            "3 hourly summaries differ from their rows",
            2_000,
            "deribit:btc_usd: the hourly summaries are right again",
        )
    ]
    assert state == AlertState(pending=state.pending)


CHECKS = st.lists(st.dictionaries(st.sampled_from([0, 7, 14]), st.integers(0, 2)), max_size=8)


@given(CHECKS)
def test_summaries_are_wrong_while_the_last_check_of_any_chunk_says_so(
    checks: list[Mapping[int, int]],
) -> None:
    state, latest, is_wrong = AlertState(), dict[int, int](), [False]
    for at, check in enumerate(checks):
        state = AlertState.load(state.dump())
        state.update_summaries({NAME: check}, at)
        latest |= check
        wrong = sorted(start for start, hours in latest.items() if hours)
        assert state.wrong_parts == ({NAME: wrong} if wrong else {})
        is_wrong.append(bool(wrong))
    assert [(alert.at, alert.event) for alert in state.pending] == [
        (at, "summaries_wrong" if after else "summaries_right")
        for at, (before, after) in enumerate(pairwise(is_wrong))
        if before != after
    ]


def test_full_queue_drops_its_oldest_alerts() -> None:
    state = AlertState()
    names = [TickerKey("deribit", f"t{number}") for number in range(MAX_PENDING)]
    assert state.update_tickers(map(_stale, names), 1) == []
    first, second, *others = state.pending
    assert state.update_tickers([_fresh(names[5])], 2) == [first]
    assert state.update_summaries({NAME: {0: 3}}, 3) == [second]
    assert [alert.at for alert in state.pending[-2:]] == [2, 3]
    assert state.pending[:-2] == others
    assert len(state.pending) == MAX_PENDING


def test_state_outlives_its_process() -> None:
    state = AlertState()
    state.update_tickers([_stale(), _stale(ETH, age=None), _fresh(ETH)], 1)
    state.update_summaries({NAME: {7: 1}}, 2)
    loaded = AlertState.load(state.dump())
    assert loaded == state
    assert (len(loaded.pending), loaded.stale, loaded.wrong_parts) == (
        4,
        {NAME: "beat"},
        {NAME: [7]},
    )


def test_state_of_a_version_that_checked_no_summaries_is_read() -> None:
    assert AlertState.load('{"stale": {"deribit:btc_usd": "beat"}, "pending": []}') == AlertState(
        stale={NAME: "beat"}
    )
