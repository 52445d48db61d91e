"""Memory: what was read and can't have changed since, in bounded space.

Rule 10: nothing remembered outlives the truth by more than a second. Every write notes in its own
transaction what it changed. This process asks twice a second, and at each notification, what became
visible since it last asked, and forgets that. When it could not ask for a second it answers nothing
from memory. What is remembered was all true at one moment, so a page cut from it shows one state.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import structlog

from app.core.errors import AppError
from app.core.waiting import happens_within
from app.db.session import Database
from app.domain.changes import EVERYTHING, Change
from app.domain.lines import LineFormat, LinePage, Lines
from app.domain.prices import Price, Span, TickerKey
from app.repositories import changes, lines, prices
from app.repositories.changes import KEPT_SECONDS, Moment

TRUSTED_SECONDS = 1.0
PAUSE_SECONDS = 0.5
CHUNK_SECONDS = 2 * 3600
MOST_CHUNKS = 31 * 12
"""A longer span is read from the database, a page at a time."""
CHUNKS_AT_ONCE = 13
"""A day's, wherever it begins."""
MOST_READINGS = MOST_CHUNKS // CHUNKS_AT_ONCE + 3
LINE_BYTES, CHUNK_BYTES = 8, 600
"""What a chunk weighs beside its text: where each line lies, once it was cut, and the objects."""
FOREVER = 2**62

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Reading:
    """Slots that are being read from the database; stale once they changed meanwhile."""

    key: TickerKey
    first: int
    last: int
    is_stale: bool = False

    def hear(self, change: Change) -> None:
        if change.touches(self.key, self.first, self.last):
            self.is_stale = True


class Memory:
    """Remembers what one process read; all of it was true when it last asked what changed."""

    def __init__(self, database: Database, form: LineFormat, most_bytes: int) -> None:
        self._database = database
        self._form = form
        self._chunks = _Chunks(most_bytes)
        self._newest: dict[TickerKey, Price] = {}
        self._readings: set[_Reading] = set()
        self._moment: Moment | None = None
        self._clock = asyncio.get_running_loop().time
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    @property
    def is_trusted(self) -> bool:
        """Tell whether this process asked within the last second."""
        return self._clock() - self._asked_at < TRUSTED_SECONDS

    def recall_newest(self, key: TickerKey) -> Price | None:
        """Give the newest price, if it is known right now."""
        return self._newest.get(key) if self.is_trusted else None

    def recall(self, key: TickerKey, span: Span, limit: int) -> LinePage | None:
        """Give the first lines of a span, if they are known right now."""
        page = self._chunks.cut(key, span, limit) if self.is_trusted else None
        return page if isinstance(page, LinePage) else None

    async def newest(self, key: TickerKey) -> Price | None:
        """Give the newest price, read if need be.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        if self.is_trusted and key in self._newest:
            return self._newest[key]
        with self._reading(key, 0, FOREVER) as reading:
            async with self._database.read() as session:
                price = await prices.newest(session, key)
            await self.ask()
        if price is not None and not reading.is_stale:
            self._newest[key] = price  # none is remembered of a ticker that there is not
        return price

    async def between(self, key: TickerKey, span: Span, limit: int) -> LinePage | None:
        """Give the first lines of a span, read if need be; None where that is not for the memory.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        if not self._chunks.takes(span):
            return None
        for _ in range(MOST_READINGS):
            if not self.is_trusted:
                await self.ask()
            found = self._chunks.cut(key, span, limit)
            if isinstance(found, LinePage):
                return found
            await self._learn(key, found)
        return None

    async def ask(self) -> None:
        """Learn what changed, and forget it; who asks meanwhile shares the answer.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        called_at = self._clock()
        async with self._asking:
            if self._asked_at >= called_at:
                return
            began_at = self._clock()
            for change in await self._changes(began_at):
                self._forget(change)
            self._asked_at = began_at

    async def ask_forever(self, told: asyncio.Event) -> None:
        """Ask twice a second, and at once when told of a write."""
        while True:
            told.clear()
            with suppress(AppError):  # who reads meanwhile hears of it
                await self.ask()
            await happens_within(told, PAUSE_SECONDS)

    async def _changes(self, began_at: float) -> list[Change]:
        async with self._database.read() as session:
            if self._moment is None or began_at - self._asked_at > KEPT_SECONDS / 2:
                self._moment = await changes.now(session)
                return [EVERYTHING]
            self._moment, found = await changes.since(session, self._moment)
            return found

    def _forget(self, change: Change) -> None:
        for reading in self._readings:
            reading.hear(change)
        if change.key is None:
            self._newest.clear()
        else:
            self._newest.pop(change.key, None)
        self._chunks.forget(change)

    async def _learn(self, key: TickerKey, numbers: range) -> None:
        """Read chunks in one go, and remember them unless they changed meanwhile."""
        starts = range(numbers.start * CHUNK_SECONDS, numbers.stop * CHUNK_SECONDS, CHUNK_SECONDS)
        with self._reading(key, starts.start, starts.stop - 1) as reading:
            async with self._database.driver() as driver:
                found = await lines.stretches(driver, key, starts, self._form)
            await self.ask()
        if not reading.is_stale:
            self._chunks.keep(key, numbers, found)

    @contextmanager
    def _reading(self, key: TickerKey, first: int, last: int) -> Iterator[_Reading]:
        reading = _Reading(key, first, last)
        self._readings.add(reading)
        try:
            yield reading
        finally:
            self._readings.discard(reading)


class _Chunks:
    """Stretches of lines by ticker and number, the least used forgotten first."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._lines: OrderedDict[tuple[TickerKey, int], Lines] = OrderedDict()

    def takes(self, span: Span) -> bool:
        """Tell whether a span is for the memory: it has two ends, which are not too far apart."""
        if span.start is None or span.end is None or not self._most_bytes:
            return False
        return len(_numbers(span)) <= MOST_CHUNKS

    def keep(self, key: TickerKey, numbers: range, found: Sequence[Lines]) -> None:
        """Remember what was read of consecutive chunks."""
        for number, chunk in zip(numbers, found, strict=True):
            self._drop((key, number))
            self._lines[key, number] = chunk
            self._bytes += _weight(chunk)
        while self._bytes > self._most_bytes and len(self._lines) > CHUNKS_AT_ONCE:
            self._drop(next(iter(self._lines)))

    def forget(self, change: Change) -> None:
        """Forget the chunks that a change touches."""
        if change.key is None:
            self._lines.clear()
            self._bytes = 0
            return
        touched = range(change.first // CHUNK_SECONDS, change.last // CHUNK_SECONDS + 1)
        if len(touched) > len(self._lines):
            known = [chunk for chunk in self._lines if chunk[1] in touched]
        else:
            known = [(change.key, number) for number in touched]
        for key, number in known:
            if key == change.key:
                self._drop((key, number))

    def cut(self, key: TickerKey, span: Span, limit: int) -> LinePage | range:
        """Cut the first lines out of a span, or name the chunks to read before."""
        pieces: list[bytes] = []
        tags: list[str] = []
        count, last = 0, None
        numbers = _numbers(span)
        for number in numbers:
            chunk = self._lines.get((key, number))
            if chunk is None:
                return range(number, min(number + CHUNKS_AT_ONCE, numbers.stop))
            self._lines.move_to_end((key, number))
            is_inside = numbers.start < number < numbers.stop - 1
            first, beyond = (0, chunk.count) if is_inside else chunk.between(span)
            taken = min(beyond - first, limit - count)
            if taken:
                pieces.append(chunk.cut(first, first + taken))
                tags.append(f"{chunk.tag}:{first}:{taken}")
                count, last = count + taken, chunk.slot(first + taken - 1)
            if taken < beyond - first:
                return LinePage(pieces, count, last, has_more=True, tag=" ".join(tags))
        return LinePage(pieces, count, last, has_more=False, tag=" ".join(tags))

    def _drop(self, chunk: tuple[TickerKey, int]) -> None:
        lines_of_chunk = self._lines.pop(chunk, None)
        if lines_of_chunk is not None:
            self._bytes -= _weight(lines_of_chunk)


def _weight(part: Lines) -> int:
    return len(part.text) + LINE_BYTES * part.count + CHUNK_BYTES


def _numbers(span: Span) -> range:
    return range((span.start or 0) // CHUNK_SECONDS, (span.end or 0) // CHUNK_SECONDS + 1)
