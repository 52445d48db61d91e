"""Reads new rows once, and hands them to every subscription."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

from app.core.clocks import boottime_seconds
from app.core.errors import AppError, TooManyStreams
from app.core.event_wait import wait_for_event
from app.core.single_flight import SingleFlight
from app.domain.price_stream import NewRows, Reset, StreamPosition
from app.domain.prices import TickerKey
from app.postgres.database import Database
from app.repositories import new_rows
from app.services.price_stream.subscription import Subscription

IDLE_READ_SECONDS = 15.0
"""The pause between two reads without a change; each of them gives a newer position."""
KEEPALIVE_SECONDS = 20.0
"""A reader that got nothing for so long gets a comment, so that it does not time out."""
RETRY_SECONDS = 1.0
CLOSING_SECONDS = 1.0
"""A reader has so long to take its end when this process ends."""
PAGE_ROWS = 1_000


class PriceStream:
    """Delivers rows that become visible to any number of subscriptions; a process has one.

    `changed` is set when rows changed.
    """

    def __init__(
        self,
        database: Database,
        max_streams: int,
        changed: asyncio.Event,
        clock: Callable[[], float] = boottime_seconds,
    ) -> None:
        self._database = database
        self._max_streams = max_streams
        self._changed = changed
        self._clock = clock
        self._position: StreamPosition | None = None
        self._subscriptions: set[Subscription] = set()
        self._flights = SingleFlight(clock)
        self._advancing = asyncio.Lock()
        self._closing = asyncio.Event()

    @asynccontextmanager
    async def subscribe(
        self,
        keys: list[TickerKey],
        after: StreamPosition | None = None,
        disconnect: Callable[[], object] = lambda: None,
    ) -> AsyncIterator[Subscription]:
        """Open a subscription to some tickers, from a position on or from now on.

        `disconnect` is called if the reader has not gone soon after the end of this process began.

        Raises:
            TooManyStreams: this process serves its maximum.
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        if len(self._subscriptions) >= self._max_streams:
            raise TooManyStreams(f"this process serves {self._max_streams} streams at most")
        subscription = Subscription(keys, after, disconnect)
        self._subscriptions.add(subscription)
        try:
            now = await self._advance_since(self._clock())
            if after is None:
                subscription.position = now
                subscription.follow()
            yield subscription
        finally:
            self._subscriptions.remove(subscription)

    async def next_news(self, subscription: Subscription) -> NewRows | Reset | None:
        """Wait for news of a subscription; None if there are none for a while, or at the end."""
        if self._closing.is_set():
            return None
        if subscription.is_following:
            return await subscription.wait_for_news(KEEPALIVE_SECONDS)
        try:
            return await self._catch_up(subscription)
        except AppError:
            await wait_for_event(self._closing, RETRY_SECONDS)
            return None

    async def follow_forever(self) -> None:
        """Hand out news when rows changed, and a heartbeat when none did for a while."""
        while True:
            await wait_for_event(self._changed, IDLE_READ_SECONDS)
            self._changed.clear()
            if self._subscriptions:
                with suppress(AppError):  # read again at the next change or heartbeat
                    await self._advance_since(self._clock())

    @property
    def open_streams(self) -> int:
        """Return how many subscriptions are open."""
        return len(self._subscriptions)

    @property
    def is_closing(self) -> bool:
        """Return whether all subscriptions are to end."""
        return self._closing.is_set()

    def begin_closing(self) -> None:
        """End all subscriptions; disconnect the readers that do not take their end in time."""
        self._closing.set()
        for subscription in self._subscriptions:
            subscription.has_changed.set()
        asyncio.get_running_loop().call_later(CLOSING_SECONDS, self._disconnect_all)

    def _disconnect_all(self) -> None:
        for subscription in self._subscriptions:
            subscription.disconnect()

    async def close(self) -> None:
        """Cancel the reads under way."""
        self.begin_closing()
        await self._flights.close()

    async def _advance_since(self, since: float) -> StreamPosition:
        """Read what is new at a time of the clock or later, and return the position after it."""
        return await self._flights.join("advance", self._advance, since=since)

    async def _advance(self) -> StreamPosition:
        async with self._advancing, self._database.raw_connection() as connection:
            if self._position is None:
                self._position = await new_rows.read_current_position(connection)
                return self._position
            keys = sorted(frozenset().union(*(one.keys for one in self._subscriptions)))
            news = await new_rows.read_news(connection, self._position, keys, PAGE_ROWS)
            # synchronous from here on: a subscription that follows misses nothing
            if isinstance(news, NewRows) and not news.has_more:
                self._position = news.end
                for subscription in self._subscriptions:
                    subscription.offer(news)
            else:
                self._position = news.batch_end if isinstance(news, NewRows) else news.end
                for subscription in self._subscriptions:
                    subscription.fall_behind()
            return self._position

    async def _catch_up(self, subscription: Subscription) -> NewRows | Reset | None:
        """Read the next rows of a subscription; it follows when none are left."""
        start, until = subscription.position, await self._advance_since(self._clock())
        if start is None or start == until:
            news = None
        else:
            keys = tuple(sorted(subscription.keys))
            read = partial(self._read_page, start, keys, until)
            news = await self._flights.join((start, keys, until), read)
            subscription.position = news.end
        if subscription.position == self._position:
            subscription.follow()
        return news

    async def _read_page(
        self, start: StreamPosition, keys: tuple[TickerKey, ...], until: StreamPosition
    ) -> NewRows | Reset:
        async with self._database.raw_connection() as connection:
            return await new_rows.read_news(connection, start, keys, PAGE_ROWS, until=until)
