"""Memory: what was read and can't have changed since, in bounded space.

Rule 10: nothing remembered outlives the truth by more than a second. Every write notes in its own
transaction what it changed. This process asks twice a second, and at each notification, what became
visible since it last asked, and forgets that. Who asks for something when it has not asked for a
second waits until it has. What is remembered was all true at one moment, so a page cut from it
shows one state. However many wait for the same answer of the database, it is asked for once.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

import structlog

from app.core.clocks import awake_or_not
from app.core.errors import AppError
from app.core.single_flight import SingleFlight
from app.core.waiting import happens_within
from app.domain.changes import EVERYTHING, Change
from app.domain.chunks import CHUNK_SECONDS, CHUNKS_AT_ONCE, MOST_CHUNKS, Chunks
from app.domain.lines import LineFormat, LinePage
from app.domain.prices import Order, Price, Span, TickerKey
from app.domain.ticker_state import TickerState
from app.postgres.database import Database, Driver
from app.repositories import changes, lines, ticker_states
from app.repositories.changes import Moment, News

TRUSTED_SECONDS = 1.0
PAUSE_SECONDS = 0.5
SHORTEST_PAUSE_SECONDS = 0.05
MOST_READINGS = MOST_CHUNKS // CHUNKS_AT_ONCE + 3
MOST_TRIES = 3
"""To read a chunk that changes meanwhile, again and again."""
FIRST, LAST = -(2**62), 2**62

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

    def __init__(
        self,
        database: Database,
        form: LineFormat,
        most_bytes: int,
        clock: Callable[[], float] = awake_or_not,
    ) -> None:
        self._database = database
        self._form = form
        self._chunks = Chunks(most_bytes)
        self._states: dict[TickerKey, TickerState] = {}
        self._readings: set[_Reading] = set()
        self._moment: Moment | None = None
        self._clock = clock
        self._asked_at = float("-inf")
        self._flights = SingleFlight(clock)

    @property
    def is_trusted(self) -> bool:
        """Tell whether this process asked within the last second."""
        return self._clock() - self._asked_at < TRUSTED_SECONDS

    def recall_newest(self, key: TickerKey) -> Price | None:
        """Give the newest price, if it is known right now."""
        state = self._states.get(key) if self.is_trusted else None
        return state and state.newest

    def recall(self, key: TickerKey, span: Span, limit: int) -> LinePage | None:
        """Give the first lines of a span, if they are known right now."""
        page = self._chunks.cut(key, span, limit) if self.is_trusted else None
        return page if isinstance(page, LinePage) else None

    async def newest(self, key: TickerKey) -> Price | None:
        """Give the newest price, read if need be.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        since = self._clock() - TRUSTED_SECONDS
        await self._asked_since(since)
        state = self._states.get(key)
        if state is None:
            state = await self._learn_state(key, since)
        return state.newest

    async def between(self, key: TickerKey, span: Span, limit: int) -> LinePage | None:
        """Give the first lines of a span, read if need be; None where that is not for the memory.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        if not self._chunks.takes(span):
            return None
        return await self._page(
            key, lambda state: self._chunks.cut(key, span, limit, recordings=state.recordings)
        )

    async def newest_lines(self, key: TickerKey, limit: int) -> LinePage | None:
        """Give the newest lines, the newest first; None where that is not for the memory.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        return await self._page(key, partial(self._cut_newest, key, limit))

    async def ask(self) -> None:
        """Learn what changed, and forget it; who asks meanwhile shares the answer.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        await self._asked_since(self._clock())

    async def ask_forever(self, told: asyncio.Event) -> None:
        """Ask twice a second, and at once when told of a write."""
        while True:
            told.clear()
            asked_at = self._clock()
            with suppress(AppError):  # who reads meanwhile hears of it
                await self.ask()
            took = self._clock() - asked_at
            # the sooner the longer it takes, for the next answer must be here within a second
            await happens_within(told, max(PAUSE_SECONDS - 2 * took, SHORTEST_PAUSE_SECONDS))

    async def close(self) -> None:
        """End what is being read."""
        await self._flights.close()

    async def _asked_since(self, moment: float) -> None:
        """Wait until a question that began since a moment was answered."""
        while self._asked_at < moment:
            await self._flights.join("ask", self._ask)

    async def _ask(self) -> None:
        began_at = self._clock()
        async with self._database.driver(reserved=True) as driver:
            news = await self._news(driver)
        self._moment = news.moment
        for change in news.changes:
            self._forget(change)
        for key, state in news.states.items():
            self._keep_state(key, state)
        self._asked_at = began_at

    async def _news(self, driver: Driver) -> News:
        if self._moment is None:
            return News(await changes.now(driver), [EVERYTHING], {})
        return await changes.since(driver, self._moment)

    def _forget(self, change: Change) -> None:
        for reading in self._readings:
            reading.hear(change)
        if change.key is None:
            self._states.clear()
        self._chunks.forget(change)

    async def _page(
        self, key: TickerKey, cut: Callable[[TickerState], LinePage | list[int] | None]
    ) -> LinePage | None:
        """Cut a page out of what is known, and read before what is not."""
        since, tried = self._clock() - TRUSTED_SECONDS, Counter[int]()
        for _ in range(MOST_READINGS):
            await self._asked_since(since)
            state = self._states.get(key)
            if state is None:
                if (await self._learn_state(key, since)).newest is None:
                    return None
                continue
            found = cut(state)
            if not isinstance(found, list):
                return found
            tried[found[0]] += 1
            if tried[found[0]] > MOST_TRIES:
                return None
            await self._flights.join(
                ("chunks", key, found[0]), partial(self._read_chunks, key, found, state)
            )
        return None

    def _cut_newest(
        self, key: TickerKey, limit: int, state: TickerState
    ) -> LinePage | list[int] | None:
        """Cut the newest lines, not looking further back than they should reach."""
        if state.newest is None or state.oldest is None:
            return None
        interval = state.recordings[-1].interval_seconds if state.recordings else 1
        furthest = limit * interval + CHUNKS_AT_ONCE * CHUNK_SECONDS
        span = Span(max(state.oldest, state.newest.slot - furthest), state.newest.slot)
        if not self._chunks.takes(span):
            return None
        found = self._chunks.cut(key, span, limit, Order.DESC)
        if isinstance(found, list) or found.has_more or span.start == state.oldest:
            return found
        return None

    async def _learn_state(self, key: TickerKey, since: float) -> TickerState:
        return await self._flights.join(("state", key), partial(self._read_state, key), since=since)

    async def _read_state(self, key: TickerKey) -> TickerState:
        with self._reading(key, FIRST, LAST) as reading:
            async with self._database.driver() as driver:
                state = await ticker_states.read(driver, key)
            await self.ask()
        if not reading.is_stale:
            self._keep_state(key, state)
        return state

    def _keep_state(self, key: TickerKey, state: TickerState) -> None:
        before = self._states.pop(key, None)
        if before is not None and before.recordings == state.recordings:
            # chunks are judged once by each object
            state = state._replace(recordings=before.recordings)
        if state.newest is not None:  # or whoever invents tickers would fill the memory
            self._states[key] = state

    async def _read_chunks(
        self, key: TickerKey, numbers: Sequence[int], state: TickerState
    ) -> None:
        """Read chunks in one go, and remember them unless they changed meanwhile."""
        starts = [number * CHUNK_SECONDS for number in numbers]
        grid = state.recordings[-1].interval_seconds if state.recordings else 1
        with self._reading(key, starts[0], starts[-1] + CHUNK_SECONDS - 1) as reading:
            async with self._database.driver() as driver:
                found = await lines.stretches(
                    driver, key, starts, self._form, length=CHUNK_SECONDS, grid_seconds=grid
                )
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
