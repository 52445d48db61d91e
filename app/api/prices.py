"""The routes that read prices."""

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response

from app.api.cursors import read_cursor, write_cursor
from app.api.deps import RuntimeDep, TickerDep
from app.api.encoding import encode_latest, encode_list, encode_price
from app.api.errors import problems
from app.api.schemas import LatestPriceOut, PriceAtOut, PriceListOut
from app.api.times import Moment, seconds_from, seconds_until
from app.core.errors import (
    DatabaseUnavailable,
    NoPriceNear,
    NoPriceYet,
    ParametersInvalid,
    PriceTooOld,
    SchemaOutdated,
    TickerNotFound,
)
from app.domain.prices import Order, Span, TickerKey
from app.runtime import Runtime

ALL_PATH = "/api/v1/prices"
MOST_ROWS = 10_000
EVER = Span()
LINKED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A page of prices.",
        "headers": {
            "Link": {
                "description": 'The next page, `<…>; rel="next"`; absent on the last one.',
                "schema": {"type": "string"},
            }
        },
    }
}
LONGEST_TOLERANCE_SECONDS = 10_000_000_000

router = APIRouter(
    prefix="/prices",
    tags=["prices"],
    responses=problems(TickerNotFound, ParametersInvalid, DatabaseUnavailable, SchemaOutdated),
)

Limit = Annotated[int, Query(ge=1, le=MOST_ROWS, description="Prices on a page.")]
Cursor = Annotated[
    str | None, Query(max_length=100, description="Where the page before ended: from `next`.")
]
OrderParameter = Annotated[Order, Query(description="Oldest first or newest first.")]
FromMoment = Annotated[
    Moment | None,
    Query(
        description="The first moment, inclusive: UNIX seconds, milliseconds or ISO 8601; "
        "a date alone means its start.",
        examples=[1768579260],
    ),
]
ToMoment = Annotated[
    Moment | None,
    Query(
        description="The last moment, inclusive, in the same forms.",
        examples=["2026-01-16T16:01:00Z"],
    ),
]
Seconds = Annotated[int | None, Query(ge=0, le=LONGEST_TOLERANCE_SECONDS)]


@router.get(
    "",
    summary="Everything stored of a ticker",
    response_model=PriceListOut,
    responses=LINKED,
)
async def list_prices(
    runtime: RuntimeDep,
    key: TickerDep,
    limit: Limit = 1000,
    cursor: Cursor = None,
    order: OrderParameter = Order.ASC,
) -> Response:
    """Every price stored of a ticker, page by page; the cost of a page does not grow."""
    return await _page(runtime, _List(ALL_PATH, key, order, limit), cursor)


@router.get(
    "/latest",
    summary="The newest price",
    response_model=LatestPriceOut,
    responses=problems(TickerNotFound, NoPriceYet, PriceTooOld),
)
async def latest_price(
    runtime: RuntimeDep,
    key: TickerDep,
    max_age_seconds: Annotated[
        Seconds, Query(description="Answer 404 `price_too_old` when it is older.")
    ] = None,
) -> Response:
    """The newest price with its age, and whether it is stale (older than two intervals)."""
    return _json(encode_latest(await runtime.history.latest(key, runtime.now(), max_age_seconds)))


@router.get(
    "/history",
    summary="The newest prices, newest first",
    response_model=PriceListOut,
    responses=LINKED,
)
async def price_history(
    runtime: RuntimeDep, key: TickerDep, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """The newest prices, newest first; `next` leads to older ones."""
    listed = _List("/api/v1/prices/history", key, Order.DESC, limit)
    return await _page(runtime, listed, cursor)


@router.get(
    "/period",
    summary="The prices of a period",
    response_model=PriceListOut,
    responses=LINKED,
)
@router.get(
    "/filter",
    name="filter_prices",
    summary="The prices of a period, by its other name",
    response_model=PriceListOut,
    responses=LINKED,
)
async def prices_of_period(
    runtime: RuntimeDep,
    key: TickerDep,
    from_dt: FromMoment = None,
    to_dt: ToMoment = None,
    limit: Limit = 1000,
    cursor: Cursor = None,
) -> Response:
    """The prices of a period, oldest first; both bounds are inclusive, either may be left out."""
    if from_dt is not None and to_dt is not None and from_dt > to_dt:
        raise ParametersInvalid({"from_dt": "must not be after to_dt"})
    start = None if from_dt is None else seconds_from(from_dt)
    end = None if to_dt is None else seconds_until(to_dt)
    listed = _List("/api/v1/prices/period", key, Order.ASC, limit, Span(start, end))
    return await _page(runtime, listed, cursor)


@router.get(
    "/at",
    summary="The price at a moment",
    response_model=PriceAtOut,
    responses=problems(TickerNotFound, NoPriceNear),
)
async def price_at(
    runtime: RuntimeDep,
    key: TickerDep,
    timestamp: Annotated[Moment, Query(description="The moment.", examples=[1768579265])],
    tolerance_seconds: Annotated[
        Seconds, Query(description="How far back to look; two intervals if left out.")
    ] = None,
) -> Response:
    """The newest price at or before a moment, at most the tolerance away."""
    moment = seconds_until(timestamp)
    return _json(encode_price(await runtime.history.at(key, moment, tolerance_seconds)))


@dataclass(frozen=True, slots=True)
class _List:
    """A list that is read page by page: its address, its ticker, its direction."""

    path: str
    key: TickerKey
    order: Order
    limit: int
    span: Span = EVER

    @property
    def scope(self) -> str:
        return f"{self.path} {self.key} {self.order}"

    def beyond(self, position: int) -> Span:
        """Give what is left of the span after a position, in the list's direction."""
        start, end = self.span
        if self.order is Order.ASC:
            return Span(position + 1 if start is None else max(start, position + 1), end)
        return Span(start, position - 1 if end is None else min(end, position - 1))

    def url(self, cursor: str) -> str:
        """Give the address of the page that a cursor leads to."""
        query = {
            "ticker": self.key.ticker,
            "exchange": self.key.exchange,
            "order": self.order.value if self.path == ALL_PATH else None,
            "from_dt": self.span.start,
            "to_dt": self.span.end,
            "limit": self.limit,
            "cursor": cursor,
        }
        given = {name: value for name, value in query.items() if value is not None}
        return f"{self.path}?{urlencode(given)}"


async def _page(runtime: Runtime, listed: _List, cursor: str | None) -> Response:
    span = listed.span if cursor is None else listed.beyond(read_cursor(cursor, listed.scope))
    page = await runtime.history.page(listed.key, span, listed.order, listed.limit)
    if not page.has_more:
        return _json(encode_list(page.series, None))
    url = listed.url(write_cursor(page.series.timestamps[-1], listed.scope))
    return _json(encode_list(page.series, url), {"Link": f'<{url}>; rel="next"'})


def _json(body: bytes, headers: dict[str, str] | None = None) -> Response:
    return Response(body, media_type="application/json", headers=headers)
