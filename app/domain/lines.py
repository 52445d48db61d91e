"""Lines: rows as ready-made text, which the database writes and nobody takes apart."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from itertools import accumulate
from typing import Final

from app.domain.prices import Span
from app.domain.slots import Slot

TAG_DIGITS: Final = 24


class Column(StrEnum):
    """A column of a row as text; a price has exactly the digits that are stored."""

    TIMESTAMP = "timestamp"
    PRICE = "price"
    SOURCE = "source"


@dataclass(frozen=True)
class LineFormat:
    """What a line is made of, its slot first, and what stands between two lines, but in none."""

    parts: tuple[str | Column, ...]
    between: str

    @cached_property
    def joint(self) -> bytes:
        """Give what stands between two lines, as it is written."""
        return self.between.encode()

    @cached_property
    def after_slot(self) -> bytes:
        """Give the words that follow a slot."""
        return str(self.parts[1]).encode()


@dataclass(frozen=True, slots=True)
class LinePage:
    """A page of lines in the order asked for, in pieces; `last` is the slot of the last one.

    Pages with the same tag, of the same list, are the same; an empty tag tells nothing. To a
    complete page no row can be added.
    """

    pieces: Sequence[bytes]
    count: int
    last: Slot | None
    has_more: bool
    tag: str = ""
    is_complete: bool = False


@dataclass(frozen=True)
class Lines:
    """All lines of a stretch of time, ascending, which can be cut; `last` is the last one's slot.

    Where each line lies is found only when a cut goes through their midst. Every slot is a multiple
    of `grid_seconds`.
    """

    text: bytes
    count: int
    last: Slot | None
    form: LineFormat
    grid_seconds: int = 1

    @cached_property
    def tag(self) -> str:
        """Give a digest of the text."""
        return sha256(self.text).hexdigest()[:TAG_DIGITS]

    def between(self, span: Span) -> tuple[int, int]:
        """Give the index of a span's first line, and the one after its last."""
        if self.last is None:
            return 0, 0
        lines = range(self.count)
        first, beyond = 0, self.count
        if span.start is not None and span.start > self.slot(0):
            first = bisect_left(lines, span.start, key=self.slot)
        if span.end is not None and span.end < self.last:
            beyond = bisect_right(lines, span.end, key=self.slot)
        return first, max(first, beyond)

    def cut(self, first: int, beyond: int) -> bytes:
        """Give the text of the lines from one index to another, the last exclusive."""
        if first >= beyond:
            return b""
        if (first, beyond) == (0, self.count):
            return self.text
        return self.text[self._starts[first] : self._starts[beyond] - len(self.form.joint)]

    def cut_reversed(self, first: int, beyond: int) -> bytes:
        """Give the same text as `cut`, the last line first."""
        return self.form.joint.join(reversed(self.cut(first, beyond).split(self.form.joint)))

    def slots(self) -> list[int]:
        """Read the slot of every line; it takes as long as reading ten chunks otherwise does."""
        words, joint = self.form.after_slot, self.form.joint
        lines = self.text.split(joint) if self.count else []
        return [int(line.partition(words)[0]) for line in lines]

    def slot(self, index: int) -> Slot:
        """Give a line's slot."""
        if index == self.count - 1 and self.last is not None:
            return self.last
        start = self._starts[index]
        return Slot(int(self.text[start : self.text.index(self.form.after_slot, start)]))

    @cached_property
    def _starts(self) -> "array[int]":
        """Where each line begins, and where one after the last would."""
        joint = self.form.joint
        steps = map(len(joint).__add__, map(len, self.text.split(joint)))
        return array("l", accumulate(steps, initial=0))
