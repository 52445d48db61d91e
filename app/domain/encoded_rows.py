"""Encoded rows: the text of rows as PostgreSQL writes it; Python makes no object of a row."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from itertools import accumulate
from typing import Final

from app.domain.prices import TimeRange
from app.domain.slots import MICROSECONDS, Slot
from app.domain.times import FIRST_SECOND

TAG_DIGITS: Final = 24


class Column(StrEnum):
    """A column of a row as text; a price has exactly the digits that are stored."""

    TIMESTAMP = "timestamp"
    PRICE = "price"
    SOURCE = "source"


@dataclass(frozen=True)
class RowTemplate:
    """The format of a row: its parts, the slot first; no part contains the separator."""

    parts: tuple[str | Column, ...]
    separator: str

    @cached_property
    def separator_bytes(self) -> bytes:
        """The separator, encoded."""
        return self.separator.encode()

    @cached_property
    def after_slot(self) -> bytes:
        """The text that follows a slot, encoded."""
        return str(self.parts[1]).encode()


@dataclass(frozen=True, slots=True)
class EncodedPage:
    """A page of rows or candles in the requested order, as pieces of text.

    `last` is the slot of the last one. Pages of one list with the same tag are equal; an empty tag
    means that it is unknown. No row can be added to a complete page.
    """

    pieces: Sequence[bytes]
    count: int
    last: Slot | None
    has_more: bool
    tag: str = ""
    is_complete: bool = False


@dataclass(frozen=True)
class EncodedChunk:
    """The rows of a range of time, ascending, as text; `last` is the slot of the last one.

    The offsets of the rows are computed when a slice first needs them. Every slot is a multiple of
    `grid_seconds`. `stored_us` tells for each row when it was stored, in microseconds.
    """

    text: bytes
    count: int
    last: Slot | None
    template: RowTemplate
    grid_seconds: int = 1
    stored_us: Sequence[int] = ()

    def as_of(self, timestamp_us: int) -> "EncodedChunk":
        """Return the rows that were stored by a moment."""
        if len(self.stored_us) == self.count and self.newest_stored_us <= timestamp_us:
            return self
        separator = self.template.separator_bytes
        lines = zip(self.text.split(separator), self.stored_us, strict=True)
        kept = [line for line, stored_us in lines if stored_us <= timestamp_us]
        last = Slot(int(kept[-1].partition(self.template.after_slot)[0])) if kept else None
        text = separator.join(kept)
        return EncodedChunk(text, len(kept), last, self.template, self.grid_seconds)

    @cached_property
    def newest_stored_us(self) -> int:
        """The moment at which the last of the rows was stored; before all moments without rows."""
        return max(self.stored_us, default=FIRST_SECOND * MICROSECONDS)

    @cached_property
    def tag(self) -> str:
        """Return a digest of the text."""
        return sha256(self.text).hexdigest()[:TAG_DIGITS]

    def index_range(self, time_range: TimeRange) -> tuple[int, int]:
        """Return the index of a range's first line, and the one after its last."""
        if self.last is None:
            return 0, 0
        lines = range(self.count)
        first, stop = 0, self.count
        if time_range.start is not None and time_range.start > self.slot(0):
            first = bisect_left(lines, time_range.start, key=self.slot)
        if time_range.end is not None and time_range.end < self.last:
            stop = bisect_right(lines, time_range.end, key=self.slot)
        return first, max(first, stop)

    def slice(self, first: int, stop: int) -> bytes:
        """Return the text of the lines from one index to another (exclusive)."""
        if first >= stop:
            return b""
        if (first, stop) == (0, self.count):
            return self.text
        return self.text[
            self._starts[first] : self._starts[stop] - len(self.template.separator_bytes)
        ]

    def slice_reversed(self, first: int, stop: int) -> bytes:
        """Return the same lines as `slice` in reversed order."""
        separator = self.template.separator_bytes
        return separator.join(reversed(self.slice(first, stop).split(separator)))

    def slots(self) -> list[int]:
        """Parse the slot of every line; this is ten times as slow as slicing a chunk."""
        after_slot, separator = self.template.after_slot, self.template.separator_bytes
        lines = self.text.split(separator) if self.count else []
        return [int(line.partition(after_slot)[0]) for line in lines]

    def slot(self, index: int) -> Slot:
        """Return a line's slot."""
        if index == self.count - 1 and self.last is not None:
            return self.last
        start = self._starts[index] if index else 0
        return Slot(int(self.text[start : self.text.index(self.template.after_slot, start)]))

    @cached_property
    def _starts(self) -> "array[int]":
        """The offset of each line, and of one after the last."""
        separator = self.template.separator_bytes
        steps = map(len(separator).__add__, map(len, self.text.split(separator)))
        return array("l", accumulate(steps, initial=0))
