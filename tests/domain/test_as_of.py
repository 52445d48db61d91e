"""Moments as parameters of reads: exact, formatted so that they are parsed as the same again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.as_of import format_exactly, limit_to_known
from app.domain.encoded_rows import Column, EncodedChunk, RowTemplate
from app.domain.prices import TimeRange
from app.domain.slots import MICROSECONDS, Slot
from app.domain.times import FIRST_SECOND, LAST_SECOND, parse_time_point

MOMENTS = st.integers(FIRST_SECOND * MICROSECONDS, LAST_SECOND * MICROSECONDS)
TEMPLATE = RowTemplate((Column.TIMESTAMP, "=", Column.PRICE), separator=";")


@given(MOMENTS)
def test_formatted_moment_is_parsed_as_the_same(moment_us: int) -> None:
    assert parse_time_point(format_exactly(moment_us)).at(0) == moment_us


@pytest.mark.parametrize(
    ("given_end", "expected"), [(None, 10_600), (10_600, 10_600), (10_601, 10_600), (5, 5)]
)
def test_range_ends_an_hour_after_the_moment_at_the_latest(
    given_end: int | None, expected: int
) -> None:
    assert limit_to_known(TimeRange(1, given_end), 7_000_999_999) == TimeRange(1, expected)
    assert limit_to_known(TimeRange(1, given_end), None) == TimeRange(1, given_end)


@given(st.lists(st.integers(0, 9), max_size=9), st.integers(-1, 10))
def test_chunk_as_of_a_moment_has_the_rows_that_were_stored_by_then(
    stored_us: list[int], as_of_us: int
) -> None:
    lines = [f"{slot}={slot}.5" for slot in range(len(stored_us))]
    last = Slot(len(lines) - 1) if lines else None
    text = ";".join(lines).encode()
    chunk = EncodedChunk(text, len(lines), last, TEMPLATE, stored_us=stored_us)
    known = [slot for slot, at in enumerate(stored_us) if at <= as_of_us]
    found = chunk.as_of(as_of_us)
    assert found.text.decode() == ";".join(lines[slot] for slot in known)
    assert (found.count, found.slots()) == (len(known), known)
    assert found.last == (known[-1] if known else None)


def test_chunk_that_does_not_tell_when_its_rows_were_stored_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        EncodedChunk(b"0=1", 1, Slot(0), TEMPLATE).as_of(5)
