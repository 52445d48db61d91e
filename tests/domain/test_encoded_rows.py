"""Encoded rows: any part of a chunk's text without parsing a row."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from app.domain.encoded_rows import Column, EncodedChunk, RowTemplate
from app.domain.prices import TimeRange
from app.domain.slots import Slot

SEPARATORS = st.sampled_from(["\n", ";", '"},{"timestamp":'])
SLOTS = st.lists(st.integers(0, 400), unique=True, max_size=12).map(sorted)
BOUNDS = st.none() | st.integers(-10, 410)


def _row(slot: int) -> str:
    """A row whose price has the digits of other slots, and a length of its own."""
    return f"{slot},{'12' * (slot % 4)}3.5,live"


def _chunk(slots: Sequence[int], separator: str = ";") -> EncodedChunk:
    template = RowTemplate((Column.TIMESTAMP, ",", Column.PRICE, ",", Column.SOURCE), separator)
    text = separator.join(map(_row, slots)).encode()
    return EncodedChunk(text, len(slots), Slot(slots[-1]) if slots else None, template)


@given(SLOTS, SEPARATORS)
def test_every_part_of_a_chunk_is_the_text_of_its_rows(slots: list[int], separator: str) -> None:
    chunk = _chunk(slots, separator)
    for first in range(len(slots) + 1):
        for stop in range(len(slots) + 1):
            rows = [_row(slot) for slot in slots[first:stop]]
            assert chunk.slice(first, stop).decode() == separator.join(rows)
            assert chunk.slice_reversed(first, stop).decode() == separator.join(rows[::-1])


@given(SLOTS, SEPARATORS)
def test_rows_have_their_slots(slots: list[int], separator: str) -> None:
    assert _chunk(slots, separator).slots() == slots
    assert [_chunk(slots, separator).slot(index) for index in range(len(slots))] == slots


@given(SLOTS, BOUNDS, BOUNDS)
def test_rows_of_a_range_are_those_that_lie_in_it(
    slots: list[int], start: int | None, end: int | None
) -> None:
    first, stop = _chunk(slots).index_range(TimeRange(start, end))
    assert 0 <= first <= stop <= len(slots)
    assert slots[first:stop] == [
        slot for slot in slots if (start is None or start <= slot) and (end is None or slot <= end)
    ]


def test_both_ends_of_a_range_belong_to_it() -> None:
    chunk = _chunk([60, 120, 180, 240])
    assert chunk.index_range(TimeRange(120, 180)) == (1, 3)
    assert chunk.index_range(TimeRange(121, 179)) == (2, 2)
    assert chunk.index_range(TimeRange(None, 60)) == (0, 1)
    assert chunk.index_range(TimeRange(240, None)) == (3, 4)


def test_chunk_without_rows_has_no_text_and_no_slots() -> None:
    chunk = _chunk([])
    assert (chunk.slice(0, 0), chunk.slice_reversed(0, 0), chunk.slots()) == (b"", b"", [])
    assert chunk.index_range(TimeRange()) == (0, 0)


def test_tag_tells_texts_apart() -> None:
    assert _chunk([60, 120]).tag == _chunk([60, 120]).tag
    assert len({_chunk(slots).tag for slots in ([], [60], [60, 120], [120])}) == 4
