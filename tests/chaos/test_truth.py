"""The truth that scenarios are held against finds what is wrong with a record."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tests.chaos.truth import Evidence, Given, Place, Row, changed, judge

STEP = 6
NOW = 60
CREATED = datetime(2026, 11, 20, tzinfo=UTC)
LIVE_SLOTS = (0, 6, 12, 30, 36, 42, 48, 54)


def given(second: float, source: str, price: str = "1.50") -> Given:
    return Given("btc_usd", round(second * 1_000_000), Decimal(price), source)


def row(slot: int, value: Given) -> Row:
    return Row(Place("btc_usd", slot), value, CREATED)


ANSWERS = {slot: given(slot + 0.25, "live") for slot in LIVE_SLOTS}
POINTS = {slot: given(slot, "backfill", "1.5") for slot in range(0, NOW + 1, STEP)}
EVIDENCE = Evidence(NOW * 1_000_000, frozenset(ANSWERS.values()), frozenset(POINTS.values()))
LIVE = [row(slot, answer) for slot, answer in ANSWERS.items()]
WHOLE = [*LIVE, *(row(slot, POINTS[slot]) for slot in (18, 24))]


def places(*slots: int) -> set[Place]:
    return {Place("btc_usd", slot) for slot in slots}


def test_a_whole_record_is_found_whole() -> None:
    findings = judge(WHOLE, EVIDENCE, STEP)
    assert findings.expected == places(*range(0, NOW, STEP))
    assert findings.lost == findings.repaired == places(18, 24)
    assert findings.missing == findings.absent == findings.doubled == set()
    assert findings.false == ()


def test_a_slot_that_the_chart_could_give_is_missing() -> None:
    findings = judge(WHOLE[:-1], EVIDENCE, STEP)
    assert findings.missing == findings.absent == places(24)


def test_a_slot_that_is_still_under_way_is_not_expected() -> None:
    later = replace(EVIDENCE, now_us=EVIDENCE.now_us + 5_999_999)
    assert judge(WHOLE, later, STEP).expected == places(*range(0, NOW, STEP))


def test_between_two_points_of_the_chart_nothing_can_be_had() -> None:
    findings = judge(LIVE, EVIDENCE, STEP // 3)
    assert findings.missing == places(18, 24)
    assert findings.unfillable >= places(14, 16, 20, 22, 26, 28)
    assert findings.absent == findings.missing | findings.unfillable


@pytest.mark.parametrize(
    "wrong",
    [
        row(18, given(18, "backfill", "1.51")),
        row(18, POINTS[24]),
        row(18, given(18, "live", "1.5")),
        row(12, given(12.26, "backfill")),
        row(12, given(12.3, "live")),
    ],
    ids=["price", "slot", "source of a point", "source of an answer", "stamp"],
)
def test_a_value_that_was_not_given_in_its_slot_is_false(wrong: Row) -> None:
    assert judge([*LIVE, wrong], EVIDENCE, STEP).false == (wrong,)


def test_an_answer_that_was_stored_late_is_true_and_fills_its_slot() -> None:
    late = [row(18, given(18, "backfill", "1.5")), row(26, given(26.1, "backfill"))]
    answers = EVIDENCE.answers | {given(26.1, "live")}
    findings = judge([*LIVE, *late], replace(EVIDENCE, answers=answers), STEP // 3)
    assert findings.false == ()
    assert not findings.unfillable & places(26)


def test_a_place_stored_twice_is_doubled() -> None:
    assert judge([*WHOLE, WHOLE[0]], EVIDENCE, STEP).doubled == places(0)


def test_a_live_row_that_is_touched_or_gone_is_changed() -> None:
    touched = WHOLE[0]._replace(created_at=datetime(2026, 11, 21, tzinfo=UTC))
    assert changed(WHOLE, [touched, *WHOLE[1:]]) == {WHOLE[0]}
    assert changed(WHOLE, WHOLE[1:]) == {WHOLE[0]}
    assert changed(WHOLE[:4], WHOLE) == set()
