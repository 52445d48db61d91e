"""A cache of encoded rows in chunks of two hours, with bounded memory."""

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
"""Longer spans are not cached, but read from the database a page at a time."""
CHUNKS_AT_ONCE: Final = 13
"""The chunks that a day can touch."""
LINE_BYTES, CHUNK_BYTES = 8, 600
"""The memory of a chunk beside its text: an offset per line, and its objects."""

Recordings = tuple[Recording, ...]


@dataclass(slots=True)
class _Chunk:
    """Encoded rows, and the ranges where rows may still be added according to some recordings."""

    lines: EncodedChunk
    checked_recordings: Recordings | None = None
    open_ranges: Sequence[Range] = ()

    @property
    def size_bytes(self) -> int:
        """Return its memory in bytes."""
        return len(self.lines.text) + LINE_BYTES * self.lines.count + CHUNK_BYTES

    def is_complete(self, number: int, recordings: Recordings, first: int, last: int) -> bool:
        """Return whether no row can be added from the first to the last second."""
        if self.checked_recordings is not recordings:
            self.open_ranges = self._find_open_ranges(number, recordings)
            self.checked_recordings = recordings
        return not any(start <= last and first <= end for start, end in self.open_ranges)

    def _has_every_slot(self, number: int, recordings: Recordings) -> bool:
        """Return whether the number of rows shows that the newest recording lacks none here."""
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

    def _find_open_ranges(self, number: int, recordings: Recordings) -> Sequence[Range]:
        if self._has_every_slot(number, recordings):
            return ()
        first = number * CHUNK_SECONDS
        slots = self.lines.slots()
        return tuple(open_ranges(slots, recordings, first, first + CHUNK_SECONDS - 1))


class ChunkCache:
    """An LRU cache of chunks by ticker and number."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._chunks: OrderedDict[tuple[TickerKey, int], _Chunk] = OrderedDict()

    def can_hold(self, span: TimeRange) -> bool:
        """Return whether a span is cacheable: bounded at both ends, and not too long."""
        if span.start is None or span.end is None or not self._max_bytes:
            return False
        return len(_numbers(span)) <= MAX_CHUNKS

    def put(self, key: TickerKey, numbers: Sequence[int], chunks: Sequence[EncodedChunk]) -> None:
        """Add chunks, and evict the least recently used ones if there is no room."""
        for number, lines in zip(numbers, chunks, strict=True):
            self._drop((key, number))
            chunk = self._chunks[key, number] = _Chunk(lines)
            self._bytes += chunk.size_bytes
        while self._bytes > self._max_bytes and len(self._chunks) > CHUNKS_AT_ONCE:
            self._drop(next(iter(self._chunks)))

    def invalidate(self, change: Change) -> None:
        """Remove the chunks that a change overlaps."""
        if change.key is None:
            self._chunks.clear()
            self._bytes = 0
            return
        affected = range(change.first // CHUNK_SECONDS, change.last // CHUNK_SECONDS + 1)
        if len(affected) > len(self._chunks):
            cached = [chunk for chunk in self._chunks if chunk[1] in affected]
        else:
            cached = [(change.key, number) for number in affected]
        for key, number in cached:
            if key == change.key:
                self._drop((key, number))

    def slice(
        self,
        key: TickerKey,
        span: TimeRange,
        limit: int,
        order: Order = Order.ASC,
        recordings: Recordings = (),
    ) -> EncodedPage | list[int]:
        """Return a page of the first or last lines of a span, or the numbers of missing chunks.

        The recordings determine whether the page is complete.
        """
        numbers = _numbers(span)
        page = _PageBuilder(span, limit, order)
        for index, number in enumerate(numbers if order is Order.ASC else reversed(numbers)):
            chunk = self._chunks.get((key, number))
            if chunk is None:
                return self._missing(key, numbers, index, order)
            self._chunks.move_to_end((key, number))
            if not page.add(number, chunk, is_inside=numbers.start < number < numbers.stop - 1):
                return page.build(recordings, has_more=True)
        return page.build(recordings, has_more=False)

    def _missing(self, key: TickerKey, numbers: range, index: int, order: Order) -> list[int]:
        """Return the next missing chunks, as many as are read at once."""
        ordered = numbers if order is Order.ASC else numbers[::-1]
        following = ordered[index : index + CHUNKS_AT_ONCE]
        return sorted(number for number in following if (key, number) not in self._chunks)

    def _drop(self, position: tuple[TickerKey, int]) -> None:
        chunk = self._chunks.pop(position, None)
        if chunk is not None:
            self._bytes -= chunk.size_bytes


@dataclass(slots=True)
class _PageBuilder:
    """Builds a page chunk by chunk in the requested order."""

    span: TimeRange
    limit: int
    order: Order
    pieces: list[bytes] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    chunks: list[tuple[int, _Chunk]] = field(default_factory=list)
    count: int = 0
    last: Slot | None = None

    def add(self, number: int, chunk: _Chunk, *, is_inside: bool) -> bool:
        """Add a chunk's lines to the page; return whether all lines within the span fit."""
        lines = chunk.lines
        first, stop = (0, lines.count) if is_inside else lines.index_range(self.span)
        count = min(stop - first, self.limit - self.count)
        fits = count == stop - first
        self.chunks.append((number, chunk))
        if not count:
            return fits
        if self.order is Order.ASC:
            self.pieces.append(lines.slice(first, first + count))
            self.last = lines.slot(first + count - 1)
        else:
            first = stop - count
            self.pieces.append(lines.slice_reversed(first, stop))
            self.last = lines.slot(first)
        self.tags.append(f"{lines.tag}:{first}:{count}")
        self.count += count
        return fits

    def build(self, recordings: Recordings, *, has_more: bool) -> EncodedPage:
        """Return the page."""
        tag = " ".join(self.tags)
        is_complete = self._is_complete(recordings, has_more=has_more)
        return EncodedPage(self.pieces, self.count, self.last, has_more, tag, is_complete)

    def _is_complete(self, recordings: Recordings, *, has_more: bool) -> bool:
        """Return whether no row can be added from the span's start to its end or the last line."""
        first, last = self.span.start, self.last if has_more else self.span.end
        if not recordings or not self.count or first is None or last is None:
            return False
        return all(
            chunk.is_complete(number, recordings, first, last) for number, chunk in self.chunks
        )


def _numbers(span: TimeRange) -> range:
    return range((span.start or 0) // CHUNK_SECONDS, (span.end or 0) // CHUNK_SECONDS + 1)
