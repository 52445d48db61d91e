"""A cache of encoded rows in chunks of two hours, with bounded memory."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from app.domain.changed_slots import Change
from app.domain.encoded_rows import EncodedChunk, EncodedPage
from app.domain.prices import Order, TickerKey, TimeRange
from app.domain.recordings import Recording
from app.domain.slots import Slot
from app.domain.writable_ranges import Range, writable_ranges

CHUNK_SECONDS: Final = 2 * 3600
MAX_CHUNKS: Final = 31 * 12
"""Longer ranges are not cached, but read from the database a page at a time."""
CHUNKS_AT_ONCE: Final = 13
"""The chunks that a day can touch."""
LINE_BYTES, CHUNK_BYTES = 8, 600
"""The memory of a chunk beside its text: an offset per line, a time per line, and its objects."""

Recordings = tuple[Recording, ...]
ChunkNumber: TypeAlias = int
"""The start of a chunk divided by `CHUNK_SECONDS`."""
MissingChunks: TypeAlias = list[ChunkNumber]
"""The chunks that a page needs and the cache lacks, in ascending order."""


@dataclass(slots=True)
class _Chunk:
    """Encoded rows, and the ranges where rows may still be added according to some recordings."""

    start: int
    lines: EncodedChunk
    checked_recordings: Recordings | None = None
    writable_ranges: Sequence[Range] = ()

    @property
    def size_bytes(self) -> int:
        """Return its memory in bytes."""
        numbers = self.lines.count + len(self.lines.stored_us)
        return len(self.lines.text) + LINE_BYTES * numbers + CHUNK_BYTES

    def is_complete(self, recordings: Recordings, first: int, last: int) -> bool:
        """Return whether no row can be added from the first to the last second."""
        if self.checked_recordings is not recordings:
            self.writable_ranges = tuple(self._find_writable_ranges(recordings))
            self.checked_recordings = recordings
        return not any(start <= last and first <= end for start, end in self.writable_ranges)

    def _find_writable_ranges(self, recordings: Recordings) -> Iterable[Range]:
        if recordings and self._is_full(recordings[-1]):
            return ()
        slots, end = self.lines.slots(), self.start + CHUNK_SECONDS - 1
        return writable_ranges(slots, recordings, self.start, end)

    def _is_full(self, recording: Recording) -> bool:
        """Return whether its rows fill it, by their number; parsing all takes as long as a read."""
        step, last = recording.interval_seconds, recording.last_slot
        return (
            self.lines.count * step == CHUNK_SECONDS
            and self.lines.grid_seconds % step == 0
            and recording.first_slot <= self.start
            and (last is None or last + step >= self.start + CHUNK_SECONDS)
        )


class ChunkCache:
    """An LRU cache of chunks by ticker and number."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._chunks: OrderedDict[tuple[TickerKey, ChunkNumber], _Chunk] = OrderedDict()

    @property
    def count(self) -> int:
        """Return how many chunks are cached."""
        return len(self._chunks)

    @property
    def size_bytes(self) -> int:
        """Return the memory of all chunks in bytes."""
        return self._bytes

    def can_hold(self, time_range: TimeRange) -> bool:
        """Return whether a range is cacheable: bounded at both ends, and not too long."""
        return self._max_bytes > 0 and len(_numbers(time_range)) <= MAX_CHUNKS

    def put(
        self, key: TickerKey, numbers: Sequence[ChunkNumber], chunks: Sequence[EncodedChunk]
    ) -> None:
        """Add chunks, and evict the least recently used ones if there is no room."""
        for number, lines in zip(numbers, chunks, strict=True):
            self._drop((key, number))
            chunk = self._chunks[key, number] = _Chunk(number * CHUNK_SECONDS, lines)
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

    def find_page(  # noqa: PLR0913  # the parameters of a list
        self,
        key: TickerKey,
        time_range: TimeRange,
        limit: int,
        order: Order = Order.ASC,
        recordings: Recordings = (),
        *,
        as_of_us: int | None = None,
    ) -> EncodedPage | MissingChunks:
        """Return a page of a range's first or last lines, or the missing chunks.

        The missing ones are the next ones, as many as are read at once. The recordings determine
        whether the page is complete. With `as_of_us`, it has only rows that were stored by then.
        """
        numbers = _numbers(time_range)[:: 1 if order is Order.ASC else -1]
        page = _PageBuilder(time_range, limit, order, as_of_us)
        for index, number in enumerate(numbers):
            chunk = self._chunks.get((key, number))
            if chunk is None:
                following = numbers[index : index + CHUNKS_AT_ONCE]
                return sorted(number for number in following if (key, number) not in self._chunks)
            self._chunks.move_to_end((key, number))
            if not page.add(chunk, is_inside=0 < index < len(numbers) - 1):
                return page.build(recordings, has_more=True)
        return page.build(recordings, has_more=False)

    def _drop(self, position: tuple[TickerKey, ChunkNumber]) -> None:
        chunk = self._chunks.pop(position, None)
        if chunk is not None:
            self._bytes -= chunk.size_bytes


@dataclass(slots=True)
class _PageBuilder:
    """Builds a page chunk by chunk in the requested order."""

    time_range: TimeRange
    limit: int
    order: Order
    as_of_us: int | None = None
    pieces: list[bytes] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    chunks: list[_Chunk] = field(default_factory=list)
    count: int = 0
    last: Slot | None = None

    def add(self, chunk: _Chunk, *, is_inside: bool) -> bool:
        """Add a chunk's lines to the page; return whether all lines within the range fit."""
        lines = chunk.lines if self.as_of_us is None else chunk.lines.as_of(self.as_of_us)
        first, stop = (0, lines.count) if is_inside else lines.index_range(self.time_range)
        count = min(stop - first, self.limit - self.count)
        fits = count == stop - first
        self.chunks.append(chunk)
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
        """Return the page; it is complete if no row can be added up to its end or its last line."""
        first, end = self.time_range.bounds()
        last = self.last if has_more else end
        is_complete = (
            bool(recordings and self.count)
            and self.as_of_us is None
            and last is not None
            and all(chunk.is_complete(recordings, first, last) for chunk in self.chunks)
        )
        tag = " ".join(self.tags)
        return EncodedPage(self.pieces, self.count, self.last, has_more, tag, is_complete)


def _numbers(time_range: TimeRange) -> range:
    start, end = time_range.bounds()
    return range(start // CHUNK_SECONDS, end // CHUNK_SECONDS + 1)
