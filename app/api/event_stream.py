"""Server-Sent Events: the stream of new rows as `text/event-stream`.

Prices are written as text, because an encoder of JSON would change their digits.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from functools import lru_cache, partial

import structlog
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from app.domain.price_stream import NewRow, NewRows, Reset, StreamPosition
from app.domain.prices import Source, TickerKey
from app.services.price_stream import PriceStream, Subscription

RETRY = b"retry: 3000\n\n"
HEARTBEAT = b": heartbeat\n\n"
SEND_SECONDS = 10.0
"""A reader that takes nothing for so long is too slow."""
CLOSING_SECONDS = 10.0
"""How long a slow reader has to take the event `closing`."""
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

log = structlog.get_logger(__name__)


class EventStreamResponse(StreamingResponse):
    """Sends events until the reader goes away, is too slow, or this process ends."""

    media_type = "text/event-stream"

    def __init__(
        self, stream: PriceStream, keys: list[TickerKey], after: StreamPosition | None
    ) -> None:
        super().__init__(iter(()), headers=HEADERS)
        self._stream = stream
        self._keys = keys
        self._after = after
        self._disconnect: Callable[[], object] = lambda: None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        self._disconnect = partial(_abort_connection, receive)
        await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """Send the events of a subscription of its own.

        Raises:
            TooManyStreams: this process serves its maximum.
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        async with self._stream.subscribe(
            self._keys, self._after, self._disconnect
        ) as subscription:
            start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            await send(start)
            try:
                await self._send_news(subscription, send)
                reason = "shutting_down"
            except TimeoutError:
                log.info("stream_too_slow")
                reason = "too_slow"
            try:
                async with asyncio.timeout(CLOSING_SECONDS):
                    await send({"type": "http.response.body", "body": encode_closing(reason)})
            except TimeoutError:  # it does not even take the reason
                self._disconnect()

    async def _send_news(self, subscription: Subscription, send: Send) -> None:
        await _send_in_time(send, RETRY)
        while not self._stream.is_closing:
            news = await self._stream.next_news(subscription)
            chunk = HEARTBEAT if news is None else encode_news(news, subscription.keys)
            if chunk:
                await _send_in_time(send, chunk)


def _abort_connection(receive: Receive) -> None:
    """Close a connection without waiting until the client has read what was sent.

    ASGI knows no such message: uvicorn would keep the connection, and wait for it at its end.
    """
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is not None:
        transport.abort()


async def _send_in_time(send: Send, chunk: bytes) -> None:
    async with asyncio.timeout(SEND_SECONDS):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})


@lru_cache(maxsize=8)  # a page of an import is long, and is sent at once
def encode_news(news: NewRows | Reset, keys: frozenset[TickerKey]) -> bytes:
    """Encode news as events; readers of the same tickers share the bytes."""
    if isinstance(news, Reset):
        return _encode_reset_events(news)
    rows = news.rows_of(keys)
    if rows:
        return b"".join(_encode_row(row, position) for row, position in rows)
    # no event, but the browser keeps the position
    return b": heartbeat\nid: %b\n\n" % news.end.encode().encode()


def encode_closing(reason: str) -> bytes:
    """Encode the last event."""
    return _event("closing", _json({"reason": reason}))


def _encode_row(row: NewRow, position: StreamPosition) -> bytes:
    data = (
        f'{{"exchange":"{row.key.exchange}","ticker":"{row.key.ticker}",'
        f'"timestamp":{row.slot},"price":{row.price},"source":"{row.source}"}}'
    )
    return _event("price" if row.source == Source.LIVE else "repair", data, position)


def _encode_reset_events(reset: Reset) -> bytes:
    """Encode one event per ticker; only the last one has a position, so that none is skipped."""
    events = [
        _event("reset", _json({**key._asdict(), "from": first, "to": last}))
        for key, (first, last) in sorted(reset.ranges.items())
    ]
    position = b"id: %b\n" % reset.end.encode().encode()
    return b"".join([*events[:-1], position + (events[-1] if events else b"\n")])


def _json(values: Mapping[str, object]) -> str:
    return json.dumps(values, separators=(",", ":"))


def _event(name: str, data: str, position: StreamPosition | None = None) -> bytes:
    identity = f"id: {position.encode()}\n" if position else ""
    return f"{identity}event: {name}\ndata: {data}\n\n".encode()
