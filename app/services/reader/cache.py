"""A cache of one process in bounded memory, never staler than a second.

Every write stores in its own transaction what it changed. The cache refreshes twice a second, and
at each notification: it reads the changes that became visible, and invalidates their entries. If
the last refresh began over a second ago, a read waits for a new one. All entries belong to one
state of the database, so a page that is built from them does, too. Concurrent misses of one entry
share a query.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import structlog

from app.core.clocks import boottime_seconds
from app.core.errors import AppError
from app.core.event_wait import wait_for_event
from app.core.metrics import CACHE_READS, count
from app.core.single_flight import SingleFlight
from app.domain.as_of import limit_to_known
from app.domain.changed_slots import EVERYTHING, Change
from app.domain.chunk_cache import (
    CHUNK_SECONDS,
    CHUNKS_AT_ONCE,
    MAX_CHUNKS,
    ChunkCache,
    MissingChunks,
)
from app.domain.encoded_rows import EncodedPage, RowTemplate
from app.domain.prices import MAX_SECOND, MIN_SECOND, UNBOUNDED, Order, Price, TickerKey, TimeRange
from app.domain.slots import MICROSECONDS
from app.domain.ticker_state import TickerState
from app.postgres.database import Database
from app.repositories import cache_invalidation, encoded_rows, ticker_states
from app.repositories.cache_invalidation import ChangesSince, Snapshot
from app.services.reader.running_reads import RunningReads

FRESH_SECONDS = 1.0
PAUSE_SECONDS = 0.5
MIN_PAUSE_SECONDS = 0.05
MAX_READS = MAX_CHUNKS // CHUNKS_AT_ONCE + 3
"""More only if chunks change while they are read."""

log = structlog.get_logger(__name__)


class ReadCache:
    """Caches the state of tickers, and chunks of encoded rows, as of the last refresh."""

    def __init__(
        self,
        database: Database,
        template: RowTemplate,
        max_bytes: int,
        clock: Callable[[], float] = boottime_seconds,
    ) -> None:
        self._database = database
        self.template = template
        self.changed = asyncio.Event()
        """Set when rows changed; whoever waits for it clears it."""
        self._chunks = ChunkCache(max_bytes)
        self._states: dict[TickerKey, TickerState] = {}
        self._hits = self._misses = 0  # counted in the metrics at each flush, because reads are hot
        self._running_reads = RunningReads()
        self._position: Snapshot | None = None
        self._clock = clock
        self._refreshed_at = float("-inf")
        self._flights = SingleFlight(clock)

    @property
    def is_fresh(self) -> bool:
        """Return whether the last refresh began within a second."""
        return self._clock() - self._refreshed_at < FRESH_SECONDS

    @property
    def chunk_count(self) -> int:
        """Return how many chunks are cached."""
        return self._chunks.count

    @property
    def size_bytes(self) -> int:
        """Return the memory of the cached chunks in bytes."""
        return self._chunks.size_bytes

    def cached_newest(self, key: TickerKey) -> Price | None:
        """Return the newest price if it is cached and fresh."""
        state = self._states.get(key) if self.is_fresh else None
        if state is None:
            return None
        self._hits += 1
        return state.newest

    def cached_page(
        self, key: TickerKey, time_range: TimeRange, limit: int, as_of_us: int | None = None
    ) -> EncodedPage | None:
        """Return an ascending page if it is cached and fresh."""
        state = self._states.get(key) if self.is_fresh else None
        if state is None or not self._chunks.can_hold(time_range) or not self.covers(as_of_us):
            return None
        page = self._chunks.find_page(
            key, time_range, limit, recordings=state.recordings, as_of_us=as_of_us
        )
        return page if isinstance(page, EncodedPage) else None

    async def read_newest(self, key: TickerKey) -> Price | None:
        """Return the newest price, reading it into the cache on a miss; None if none is stored.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        since = self._clock() - FRESH_SECONDS
        await self._wait_for_refresh_since(since)
        state = self._states.get(key)
        self._note_read(is_hit=state is not None)
        return (state or await self._load_state(key, since)).newest

    async def read_page(
        self,
        key: TickerKey,
        time_range: TimeRange,
        order: Order,
        limit: int,
        *,
        as_of_us: int | None = None,
    ) -> EncodedPage | None:
        """Return a page, reading it into the cache on a miss; None if the cache does not serve it.

        It serves bounded ranges that are not too long, and the newest rows. With `as_of_us`, a page
        has only rows that were stored by then; a moment after the last refresh is not served.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        if order is Order.DESC:
            newest = partial(self._newest_page, key, limit, as_of_us)
            return await self._page(key, newest, as_of_us) if time_range == UNBOUNDED else None
        time_range = limit_to_known(time_range, as_of_us)
        if not self._chunks.can_hold(time_range):
            return None
        if (page := self.cached_page(key, time_range, limit, as_of_us)) is not None:
            self._hits += 1
            return page
        return await self._page(
            key,
            lambda state: self._chunks.find_page(
                key, time_range, limit, recordings=state.recordings, as_of_us=as_of_us
            ),
            as_of_us,
        )

    def count_reads(self) -> None:
        """Count the reads since the last call in the metrics."""
        for result, number in (("hit", self._hits), ("miss", self._misses)):
            if number:
                count(CACHE_READS, result, amount=number)
        self._hits = self._misses = 0

    async def refresh(self) -> None:
        """Invalidate what changed; concurrent callers share one query.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        await self._wait_for_refresh_since(self._clock())

    async def refresh_forever(self, notified: asyncio.Event) -> None:
        """Refresh twice a second, and at once when notified of a write."""
        while True:
            notified.clear()
            started_at = self._clock()
            with suppress(AppError):  # readers meanwhile get the error
                await self.refresh()
            took = self._clock() - started_at
            # the longer it takes, the sooner the next one begins: it must end within a second
            await wait_for_event(notified, max(PAUSE_SECONDS - 2 * took, MIN_PAUSE_SECONDS))

    async def close(self) -> None:
        """Cancel the reads under way."""
        await self._flights.close()

    async def _wait_for_refresh_since(self, since: float) -> None:
        """Wait for the end of a refresh that began at this time of the cache's clock, or later."""
        while self._refreshed_at < since:
            await self._flights.join("refresh", self._refresh)

    async def _refresh(self) -> None:
        began_at = self._clock()
        async with self._database.raw_connection(reserved=True) as connection:
            if self._position is None:
                snapshot = await cache_invalidation.read_snapshot(connection)
                news = ChangesSince(snapshot, [EVERYTHING], {})
            else:
                news = await cache_invalidation.read_changes_since(connection, self._position)
        self._position = news.snapshot
        if news.changes:
            self.changed.set()
        for change in news.changes:
            self._invalidate(change)
        for key, state in news.states.items():
            self._keep_state(key, state)
        self._refreshed_at = began_at

    def _note_read(self, *, is_hit: bool) -> None:
        self._hits += is_hit
        self._misses += not is_hit

    def _invalidate(self, change: Change) -> None:
        self._running_reads.invalidate(change)
        if change.key is None:
            self._states.clear()
        self._chunks.invalidate(change)

    def covers(self, as_of_us: int | None) -> bool:
        """Return whether the last refresh began after a moment, by the database's clock."""
        if as_of_us is None:
            return True
        return self._position is not None and as_of_us <= self._position.seconds * MICROSECONDS

    async def _page(
        self,
        key: TickerKey,
        find_page: Callable[[TickerState], EncodedPage | MissingChunks | None],
        as_of_us: int | None,
    ) -> EncodedPage | None:
        """Find a page in the cached chunks, after reading the missing ones."""
        since = self._clock() - FRESH_SECONDS
        for reads in range(MAX_READS):
            await self._wait_for_refresh_since(since)
            if not self.covers(as_of_us):
                return None
            state = self._states.get(key)
            if state is None:
                if (await self._load_state(key, since)).newest is None:
                    return None
                continue
            found = find_page(state)
            if not isinstance(found, list):
                if found is not None:
                    self._note_read(is_hit=reads == 0)
                return found
            await self._flights.join(
                ("chunks", key, found[0]), partial(self._read_chunks, key, found, state)
            )
        return None

    def _newest_page(
        self, key: TickerKey, limit: int, as_of_us: int | None, state: TickerState
    ) -> EncodedPage | MissingChunks | None:
        """Slice the newest rows out of as many chunks as they should take."""
        if state.newest is None or state.oldest is None:
            return None
        interval = state.recordings[-1].interval_seconds if state.recordings else 1
        furthest = limit * interval + CHUNKS_AT_ONCE * CHUNK_SECONDS
        _, end = limit_to_known(TimeRange(None, state.newest.slot), as_of_us).bounds()
        time_range = TimeRange(max(state.oldest, end - furthest), end)
        if not self._chunks.can_hold(time_range):
            return None
        found = self._chunks.find_page(key, time_range, limit, Order.DESC, as_of_us=as_of_us)
        if isinstance(found, list) or found.has_more or time_range.start == state.oldest:
            return found
        return None

    async def _load_state(self, key: TickerKey, since: float) -> TickerState:
        return await self._flights.join(("state", key), partial(self._read_state, key), since=since)

    async def _read_state(self, key: TickerKey) -> TickerState:
        with self._running_reads.add(key, MIN_SECOND, MAX_SECOND) as reading:
            async with self._database.raw_connection() as connection:
                state = await ticker_states.read(connection, key)
            await self.refresh()
        if not reading.is_stale:
            self._keep_state(key, state)
        return state

    def _keep_state(self, key: TickerKey, state: TickerState) -> None:
        before = self._states.pop(key, None)
        if before is not None and before.recordings == state.recordings:
            # chunks are checked once for each object
            state = state._replace(recordings=before.recordings)
        if state.newest is not None:  # or requests for invented tickers would fill the memory
            self._states[key] = state

    async def _read_chunks(
        self, key: TickerKey, numbers: MissingChunks, state: TickerState
    ) -> None:
        """Read chunks with one query, and cache them unless they changed meanwhile."""
        grid = state.recordings[-1].interval_seconds if state.recordings else 1
        starts = [number * CHUNK_SECONDS for number in numbers]
        with self._running_reads.add(key, starts[0], starts[-1] + CHUNK_SECONDS - 1) as reading:
            async with self._database.raw_connection() as connection:
                found = await encoded_rows.read_chunks(
                    connection, key, starts, self.template, length=CHUNK_SECONDS, grid_seconds=grid
                )
            await self.refresh()
        if not reading.is_stale:
            self._chunks.put(key, numbers, found)
