"""The checker of the benchmarks sees what is wrong, or its silence would mean nothing."""

import pytest

from benchmarks.consistency import Answer, Commit, Judgement, judge

COMMITS = [Commit("tide", 1, 10.0, 10.1), Commit("tide", 2, 11.0, 11.1)]


def shown(version: int, sent: float, *, is_whole: bool = True) -> Answer:
    return Answer("tide", version, sent, sent + 0.01, is_whole)


def test_answers_of_their_time_are_right() -> None:
    answers = [shown(0, 9.0), shown(1, 10.5), shown(2, 12.0), shown(2, 99.0)]
    assert judge(answers, COMMITS) == Judgement(4, 0, 0, 0.0)


def test_lag_counts_from_the_next_commit() -> None:
    assert judge([shown(1, 11.0)], COMMITS).worst_lag_seconds == 0
    assert judge([shown(1, 12.6)], COMMITS).worst_lag_seconds == pytest.approx(1.5)
    assert judge([shown(0, 10.5)], COMMITS).worst_lag_seconds == pytest.approx(0.4)


def test_two_states_in_one_answer_are_mixed() -> None:
    assert judge([shown(2, 12.0, is_whole=False)], COMMITS).mixed == 1


@pytest.mark.parametrize("version", [-1, 3])
def test_version_that_was_never_committed_is_invented(version: int) -> None:
    assert judge([shown(version, 12.0)], COMMITS).invented == 1


def test_version_seen_before_its_transaction_began_is_invented() -> None:
    assert judge([shown(2, 10.9)], COMMITS).invented == 1
    assert judge([shown(2, 11.05)], COMMITS).invented == 0  # committed, and not yet known to be
