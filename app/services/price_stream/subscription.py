"""One reader of the stream."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from app.core.event_wait import wait_for_event
from app.domain.price_stream import NewRows, StreamPosition
from app.domain.prices import TickerKey

MAX_QUEUED_NEWS = 100


class Subscription:
    """What waits for one reader, and the position of what it took last.

    `disconnect` ends the reader's connection, whatever it waits for. Once the reader has caught up
    it follows the stream: the news are queued for it. If too many of them are, it falls behind, and
    reads at its own pace again.
    """

    def __init__(
        self,
        keys: Iterable[TickerKey],
        position: StreamPosition | None,
        disconnect: Callable[[], object],
    ) -> None:
        self.keys = frozenset(keys)
        self.disconnect = disconnect
        self.position = position
        self.is_following = False
        self.has_changed = asyncio.Event()
        self._queue: deque[NewRows] = deque()

    def follow(self) -> None:
        """Queue the news from now on."""
        self.is_following = True

    def fall_behind(self) -> None:
        """Forget the queue; what was in it is read again."""
        self.is_following = False
        self._queue.clear()
        self.has_changed.set()

    def offer(self, news: NewRows) -> None:
        """Queue news for a reader that follows."""
        if not self.is_following:
            return
        if len(self._queue) == MAX_QUEUED_NEWS:
            self.fall_behind()
            return
        self._queue.append(news)
        self.has_changed.set()

    async def wait_for_news(self, seconds: float) -> NewRows | None:
        """Take the oldest queued news; None if none come in time, or it fell behind."""
        if not self._queue:
            self.has_changed.clear()
            await wait_for_event(self.has_changed, seconds)
        if not self._queue:
            return None
        news = self._queue.popleft()
        self.position = news.end
        return news
