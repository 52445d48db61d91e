"""The oracle of the chaos tests finds every kind of error in stored prices."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tests.chaos.oracle import ExchangeHistory, Observation, Row, SlotKey, audit, changed_live_rows

STEP = 6
NOW = 60
CREATED = datetime(2026, 11, 20, tzinfo=UTC)
LIVE_SLOTS = (0, 6, 12, 30, 36, 42, 48, 54)


def observation(second: float, source: str, price: str = "1.50") -> Observation:
    return Observation("btc_usd", round(second * 1_000_000), Decimal(price), source)


def row(slot: int, value: Observation) -> Row:
    return Row(SlotKey("btc_usd", slot), value, CREATED)


ANSWERS = {slot: observation(slot + 0.25, "live") for slot in LIVE_SLOTS}
POINTS = {slot: observation(slot, "backfill", "1.5") for slot in range(0, NOW + 1, STEP)}
HISTORY = ExchangeHistory(NOW * 1_000_000, frozenset(ANSWERS.values()), frozenset(POINTS.values()))
LIVE = [row(slot, answer) for slot, answer in ANSWERS.items()]
COMPLETE = [*LIVE, *(row(slot, POINTS[slot]) for slot in (18, 24))]


def slot_keys(*slots: int) -> set[SlotKey]:
    return {SlotKey("btc_usd", slot) for slot in slots}


def test_a_whole_record_is_found_whole() -> None:
    result = audit(COMPLETE, HISTORY, STEP)
    assert result.expected == slot_keys(*range(0, NOW, STEP))
    assert result.lost == result.repaired == slot_keys(18, 24)
    assert result.missing == result.absent == result.duplicated == set()
    assert result.incorrect == ()


def test_a_slot_that_the_chart_could_give_is_missing() -> None:
    result = audit(COMPLETE[:-1], HISTORY, STEP)
    assert result.missing == result.absent == slot_keys(24)


def test_a_slot_that_is_still_under_way_is_not_expected() -> None:
    later = replace(HISTORY, now_us=HISTORY.now_us + 5_999_999)
    assert audit(COMPLETE, later, STEP).expected == slot_keys(*range(0, NOW, STEP))


def test_between_two_points_of_the_chart_nothing_can_be_had() -> None:
    result = audit(LIVE, HISTORY, STEP // 3)
    assert result.missing == slot_keys(18, 24)
    assert result.unfillable >= slot_keys(14, 16, 20, 22, 26, 28)
    assert result.absent == result.missing | result.unfillable


@pytest.mark.parametrize(
    "wrong_row",
    [
        row(18, observation(18, "backfill", "1.51")),
        row(18, POINTS[24]),
        row(18, observation(18, "live", "1.5")),
        row(12, observation(12.26, "backfill")),
        row(12, observation(12.3, "live")),
    ],
    ids=["price", "slot", "source of a point", "source of an answer", "stamp"],
)
def test_a_value_that_was_not_given_in_its_slot_is_false(wrong_row: Row) -> None:
    assert audit([*LIVE, wrong_row], HISTORY, STEP).incorrect == (wrong_row,)


def test_an_answer_that_was_stored_late_is_true_and_fills_its_slot() -> None:
    late = [row(18, observation(18, "backfill", "1.5")), row(26, observation(26.1, "backfill"))]
    answers = HISTORY.answers | {observation(26.1, "live")}
    result = audit([*LIVE, *late], replace(HISTORY, answers=answers), STEP // 3)
    assert result.incorrect == ()
    assert not result.unfillable & slot_keys(26)


def test_a_place_stored_twice_is_doubled() -> None:
    assert audit([*COMPLETE, COMPLETE[0]], HISTORY, STEP).duplicated == slot_keys(0)


def test_a_live_row_that_is_touched_or_gone_is_changed() -> None:
    touched = COMPLETE[0]._replace(created_at=datetime(2026, 11, 21, tzinfo=UTC))
    assert changed_live_rows(COMPLETE, [touched, *COMPLETE[1:]]) == {COMPLETE[0]}
    assert changed_live_rows(COMPLETE, COMPLETE[1:]) == {COMPLETE[0]}
    assert changed_live_rows(COMPLETE[:4], COMPLETE) == set()
