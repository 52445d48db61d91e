"""The fast path: answers the most frequent requests before they reach FastAPI.

It handles `latest`, `history` and `period` in their plain form. FastAPI handles requests with other
parameters or headers, and everything that is not a success; both give the same answers.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import lru_cache, partial
from itertools import count as count_up
from time import perf_counter
from typing import NamedTuple, Self, TypeAlias
from uuid import uuid4

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.middleware.access_log import REQUEST_ID_HEADER
from app.api.middleware.etag import weak_etag
from app.api.pagination import (
    DEFAULT_HISTORY_ITEMS,
    DEFAULT_ITEMS,
    HISTORY_PATH,
    MAX_ITEMS,
    PERIOD_PATH,
    REVALIDATE,
    PriceList,
    encode_page_response,
)
from app.api.serialization import encode_latest
from app.core.errors import AppError
from app.core.metrics import HTTP_REQUEST_SECONDS, HTTP_REQUESTS, counter_key, increment, series
from app.domain.prices import DEFAULT_EXCHANGE, Order, Price, TickerKey, TimeRange
from app.domain.slots import MICROSECONDS
from app.runtime import Runtime
from app.services.reader import LatestPrice

log = structlog.get_logger(__name__)

JSON = "application/json"
LATEST_PATH = "/api/v1/prices/latest"
PATHS = (LATEST_PATH, PERIOD_PATH, HISTORY_PATH)
RAW_REQUEST_ID_HEADER = REQUEST_ID_HEADER.lower().encode()
BYPASS_HEADERS = frozenset({b"if-none-match", b"origin", b"range", b"x-request-id"})
"""Headers that change the answer; FastAPI handles these requests."""
TICKER_PATTERN = rb"ticker=([a-z0-9_.\-]{1,64})(?:&exchange=([a-z0-9_.\-]{1,64}))?"
LATEST_QUERY = re.compile(TICKER_PATTERN)
SECONDS_PATTERN = rb"([0-9]{1,3}|[0-9]{5,7}|[0-9]{9,10})"
"""Ten digits are seconds, never milliseconds; eight may be a date, and four a year."""
LIMIT_PATTERN = rb"(?:&limit=([1-9][0-9]{0,3}|%d))?" % MAX_ITEMS
AS_OF_PATTERN = rb"(?:&as_of=%b)?" % SECONDS_PATTERN
LIST_END_PATTERN = LIMIT_PATTERN + AS_OF_PATTERN
HISTORY_QUERY = re.compile(TICKER_PATTERN + LIST_END_PATTERN)
PERIOD_QUERY = re.compile(
    rb"%b&from_dt=%b&to_dt=%b" % (TICKER_PATTERN, SECONDS_PATTERN, SECONDS_PATTERN)
    + LIST_END_PATTERN
)

RawHeaders: TypeAlias = tuple[tuple[bytes, bytes], ...]


class EncodedResponse(NamedTuple):
    """A body and all of its headers but the request's id."""

    body: bytes
    headers: RawHeaders

    @classmethod
    def create(cls, body: bytes, headers: Mapping[str, str]) -> Self:
        """Encode the headers, and add the type and the length of the body."""
        described = {"Content-Type": JSON, "Content-Length": str(len(body)), **headers}
        items = described.items()
        return cls(body, tuple((name.lower().encode(), value.encode()) for name, value in items))


Handler: TypeAlias = Callable[[Scope], Awaitable[EncodedResponse | None]]


class CachedResponse(NamedTuple):
    """The last response of `latest`, and the price and the second that it is valid for."""

    price: Price
    second: int
    answer: EncodedResponse


class FastPathHandlers:
    """Handles the plain form of three routes."""

    def __init__(self, runtime: Runtime) -> None:
        self._reader = runtime.reader
        self._now = runtime.now
        self._interval_seconds = runtime.settings.collect_interval_seconds
        self._configured = {TickerKey(*index) for index in runtime.settings.indices}
        self._responses: dict[TickerKey, CachedResponse] = {}
        self.by_path: Mapping[str, Handler] = {
            LATEST_PATH: self._latest,
            PERIOD_PATH: partial(self._page, _parse_period_query),
            HISTORY_PATH: partial(self._page, _parse_history_query),
        }

    async def _latest(self, scope: Scope) -> EncodedResponse | None:
        """Respond with the newest price of a configured ticker."""
        key = _parse_latest_query(scope["query_string"])
        if key not in self._configured:
            return None
        price = self._reader.cached_newest(key)
        if price is None:
            with suppress(AppError):  # the application answers with the error
                price = await self._reader.read_newest(key)
        if price is None:
            return None
        second = int(self._now())
        cached = self._responses.get(key)
        if cached is None or cached.price is not price or cached.second != second:
            latest = LatestPrice.at(price, second, self._interval_seconds)
            body = encode_latest(latest)
            headers = {"Cache-Control": REVALIDATE, "ETag": weak_etag(body)}
            answer = EncodedResponse.create(body, headers)
            cached = self._responses[key] = CachedResponse(price, second, answer)
        return cached.answer

    async def _page(
        self, parse_query: Callable[[bytes], PriceList | None], scope: Scope
    ) -> EncodedResponse | None:
        """Respond with a page of prices; None leaves the request to the application."""
        price_list = parse_query(scope["query_string"])
        if price_list is None or _accepts_gzip(scope):
            return None
        with suppress(AppError):  # the application answers with the error
            page = await self._reader.read_page(
                price_list.key,
                price_list.time_range,
                price_list.order,
                price_list.limit,
                as_of_us=price_list.as_of_us,
            )
            if page.count:
                return EncodedResponse.create(*encode_page_response(price_list, page))
        return None


class _ServedRequests:
    """Counts and times the requests of one path; it knows where, because this is the hot part."""

    def __init__(self, path: str) -> None:
        self._key = counter_key(HTTP_REQUESTS, "GET", path, 200)
        self._latencies = series(HTTP_REQUEST_SECONDS, "GET", path)

    def count(self, seconds: float) -> None:
        """Count a request, and observe how long its response took."""
        increment(self._key)
        self._latencies.observe(seconds)


class FastPathMiddleware:
    """Answers what the handlers can, and passes the other requests on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        prefix = uuid4().hex[:16]
        self._served = {path: _ServedRequests(path) for path in PATHS}
        self._request_ids = (f"{prefix}{number:016x}".encode() for number in count_up())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the application do so."""
        started_at = perf_counter()
        try:
            answer = await _answer(scope)
        except Exception:
            log.exception("fast_path_broke")  # the application answers, or reports the defect
            answer = None
        if answer is None:
            await self._app(scope, receive, send)
            return
        self._served[scope["path"]].count(perf_counter() - started_at)
        headers = [*answer.headers, (RAW_REQUEST_ID_HEADER, next(self._request_ids))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})


async def _answer(scope: Scope) -> EncodedResponse | None:
    handlers: FastPathHandlers | None = getattr(scope["app"].state, "fast_path", None)
    if handlers is None or scope.get("method") != "GET":
        return None
    handler = handlers.by_path.get(scope["path"])
    if handler is None or any(name in BYPASS_HEADERS for name, _ in scope["headers"]):
        return None
    return await handler(scope)


def _accepts_gzip(scope: Scope) -> bool:
    """Return whether a client accepts gzip; the application compresses the page then."""
    return any(name == b"accept-encoding" and b"gzip" in how for name, how in scope["headers"])


@lru_cache(maxsize=1024)
def _parse_latest_query(query: bytes) -> TickerKey | None:
    match = LATEST_QUERY.fullmatch(query)
    return _ticker_key(match) if match else None


def _parse_period_query(query: bytes) -> PriceList | None:
    match = PERIOD_QUERY.fullmatch(query)
    if match is None:
        return None
    start, end, limit = int(match[3]), int(match[4]), int(match[5] or DEFAULT_ITEMS)
    if start > end:
        return None
    time_range, as_of_us = TimeRange(start, end), _as_of_us(match[6])
    return PriceList(PERIOD_PATH, _ticker_key(match), Order.ASC, limit, time_range, as_of_us)


def _parse_history_query(query: bytes) -> PriceList | None:
    match = HISTORY_QUERY.fullmatch(query)
    if match is None:
        return None
    limit = int(match[3] or DEFAULT_HISTORY_ITEMS)
    key, as_of_us = _ticker_key(match), _as_of_us(match[4])
    return PriceList(HISTORY_PATH, key, Order.DESC, limit, as_of_us=as_of_us)


def _as_of_us(seconds: bytes | None) -> int | None:
    return None if seconds is None else int(seconds) * MICROSECONDS


def _ticker_key(match: re.Match[bytes]) -> TickerKey:
    exchange = match[2].decode() if match[2] else DEFAULT_EXCHANGE
    return TickerKey(exchange, match[1].decode())
