"""Chunks: lines of every ticker by two hours, in bounded space."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from app.domain.changes import Change
from app.domain.completeness import Range, open_ranges
from app.domain.encoded_rows import EncodedChunk, EncodedPage
from app.domain.prices import Order, TickerKey, TimeRange
from app.domain.recordings import Recording
from app.domain.slots import Slot

CHUNK_SECONDS: Final = 2 * 3600
MAX_CHUNKS: Final = 31 * 12
"""A longer span is read from the database, a page at a time."""
CHUNKS_AT_ONCE: Final = 13
"""A day's, wherever it begins."""
LINE_BYTES, CHUNK_BYTES = 8, 600
"""What a chunk weighs beside its text: where each line lies, once it was cut, and the objects."""

Recordings = tuple[Recording, ...]


@dataclass(slots=True)
class _Chunk:
    """Encoded rows, and where rows may still be added, by the recordings last asked with."""

    lines: EncodedChunk
    judged_by: Recordings | None = None
    open: Sequence[Range] = ()

    @property
    def weight(self) -> int:
        """Tell how many bytes it takes."""
        return len(self.lines.text) + LINE_BYTES * self.lines.count + CHUNK_BYTES

    def is_complete(self, number: int, recordings: Recordings, first: int, last: int) -> bool:
        """Tell whether no row can be added from one second to another."""
        if self.judged_by is not recordings:
            self.open = () if self._is_whole(number, recordings) else self._open(number, recordings)
            self.judged_by = recordings
        return not any(start <= last and first <= end for start, end in self.open)

    def _is_whole(self, number: int, recordings: Recordings) -> bool:
        """Tell by the number of rows alone whether each slot of one recording is there."""
        if not recordings:
            return False
        newest, first = recordings[-1], number * CHUNK_SECONDS
        step = newest.interval_seconds
        return (
            newest.first_slot <= first
            and (newest.last_slot is None or newest.last_slot + step >= first + CHUNK_SECONDS)
            and self.lines.count * step == CHUNK_SECONDS
            and self.lines.grid_seconds % step == 0
        )

    def _open(self, number: int, recordings: Recordings) -> Sequence[Range]:
        first = number * CHUNK_SECONDS
        slots = self.lines.slots()
        return tuple(open_ranges(slots, recordings, first, first + CHUNK_SECONDS - 1))


class Chunks:
    """Chunks by ticker and number, the least used dropped first."""

    def __init__(self, max_bytes: int) -> None:
        self._most_bytes = max_bytes
        self._bytes = 0
        self._chunks: OrderedDict[tuple[TickerKey, int], _Chunk] = OrderedDict()

    def takes(self, span: TimeRange) -> bool:
        """Tell whether a span is kept here: it has two ends, which are not too far apart."""
        if span.start is None or span.end is None or not self._most_bytes:
            return False
        return len(_numbers(span)) <= MAX_CHUNKS

    def keep(self, key: TickerKey, numbers: Sequence[int], found: Sequence[EncodedChunk]) -> None:
        """Keep what was read of these chunks."""
        for number, lines in zip(numbers, found, strict=True):
            self._drop((key, number))
            chunk = self._chunks[key, number] = _Chunk(lines)
            self._bytes += chunk.weight
        while self._bytes > self._most_bytes and len(self._chunks) > CHUNKS_AT_ONCE:
            self._drop(next(iter(self._chunks)))

    def forget(self, change: Change) -> None:
        """Drop the chunks that a change touches."""
        if change.key is None:
            self._chunks.clear()
            self._bytes = 0
            return
        touched = range(change.first // CHUNK_SECONDS, change.last // CHUNK_SECONDS + 1)
        if len(touched) > len(self._chunks):
            known = [chunk for chunk in self._chunks if chunk[1] in touched]
        else:
            known = [(change.key, number) for number in touched]
        for key, number in known:
            if key == change.key:
                self._drop((key, number))

    def cut(
        self,
        key: TickerKey,
        span: TimeRange,
        limit: int,
        order: Order = Order.ASC,
        recordings: Recordings = (),
    ) -> EncodedPage | list[int]:
        """Cut the first lines out of a span, or the last ones; or name the chunks to read before.

        Whether the page is complete is judged by the recordings.
        """
        numbers = _numbers(span)
        page = _Page(span, limit, order)
        for place, number in enumerate(numbers if order is Order.ASC else reversed(numbers)):
            chunk = self._chunks.get((key, number))
            if chunk is None:
                return self._absent(key, numbers, place, order)
            self._chunks.move_to_end((key, number))
            if not page.add(number, chunk, is_inside=numbers.start < number < numbers.stop - 1):
                return page.ended(recordings, has_more=True)
        return page.ended(recordings, has_more=False)

    def _absent(self, key: TickerKey, numbers: range, place: int, order: Order) -> list[int]:
        """Name the next chunks that are not here, as many as are read at once."""
        ordered = numbers if order is Order.ASC else numbers[::-1]
        following = ordered[place : place + CHUNKS_AT_ONCE]
        return sorted(number for number in following if (key, number) not in self._chunks)

    def _drop(self, place: tuple[TickerKey, int]) -> None:
        chunk = self._chunks.pop(place, None)
        if chunk is not None:
            self._bytes -= chunk.weight


@dataclass(slots=True)
class _Page:
    """A page that is being put together, chunk by chunk, in the order asked for."""

    span: TimeRange
    limit: int
    order: Order
    pieces: list[bytes] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    chunks: list[tuple[int, _Chunk]] = field(default_factory=list)
    count: int = 0
    last: Slot | None = None

    def add(self, number: int, chunk: _Chunk, *, is_inside: bool) -> bool:
        """Add what of a chunk belongs to the page; tell whether all of it was taken."""
        lines = chunk.lines
        first, beyond = (0, lines.count) if is_inside else lines.index_range(self.span)
        taken = min(beyond - first, self.limit - self.count)
        is_all = taken == beyond - first
        self.chunks.append((number, chunk))
        if not taken:
            return is_all
        if self.order is Order.ASC:
            self.pieces.append(lines.slice(first, first + taken))
            self.last = lines.slot(first + taken - 1)
        else:
            first = beyond - taken
            self.pieces.append(lines.slice_reversed(first, beyond))
            self.last = lines.slot(first)
        self.tags.append(f"{lines.tag}:{first}:{taken}")
        self.count += taken
        return is_all

    def ended(self, recordings: Recordings, *, has_more: bool) -> EncodedPage:
        """Give the page."""
        tag = " ".join(self.tags)
        is_complete = self._is_complete(recordings, has_more=has_more)
        return EncodedPage(self.pieces, self.count, self.last, has_more, tag, is_complete)

    def _is_complete(self, recordings: Recordings, *, has_more: bool) -> bool:
        """Tell whether no row can be added from the span's start to its end or the last line."""
        first, last = self.span.start, self.last if has_more else self.span.end
        if not recordings or not self.count or first is None or last is None:
            return False
        return all(
            chunk.is_complete(number, recordings, first, last) for number, chunk in self.chunks
        )


def _numbers(span: TimeRange) -> range:
    return range((span.start or 0) // CHUNK_SECONDS, (span.end or 0) // CHUNK_SECONDS + 1)
