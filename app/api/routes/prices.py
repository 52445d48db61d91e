"""The routes that serve prices."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from app.api.cursors import decode_cursor
from app.api.dependencies import RuntimeDep, TickerDep, TickersDep
from app.api.errors import TICKER_ERRORS, problem_responses
from app.api.pagination import (
    ALL_PATH,
    DEFAULT_HISTORY_ITEMS,
    DEFAULT_ITEMS,
    HISTORY_PATH,
    PAGE_RESPONSE,
    PERIOD_PATH,
    REVALIDATE,
    Cursor,
    Limit,
    PriceList,
    encode_page_response,
)
from app.api.schemas import LatestPriceListOut, LatestPriceOut, PriceAtOut, PriceListOut
from app.api.serialization import encode_latest, encode_latest_list, encode_price
from app.api.time_parameters import (
    TIMESTAMP_FORMATS,
    AsOfDep,
    RequestedRangeDep,
    TimestampParameter,
)
from app.core.errors import NoPriceNear, NoPriceYet, PriceTooOld, TickerNotFound
from app.domain.prices import Order
from app.domain.times import floor_seconds
from app.runtime import Runtime

MAX_TOLERANCE_SECONDS = 10_000_000_000

router = APIRouter(prefix="/prices", tags=["prices"], responses=problem_responses(*TICKER_ERRORS))

PRICE_PAGE: dict[str, Any] = {"response_model": PriceListOut, "responses": PAGE_RESPONSE}
OrderParameter = Annotated[Order, Query(description="Oldest first or newest first.")]
Seconds = Annotated[int | None, Query(ge=0, le=MAX_TOLERANCE_SECONDS)]


@router.get("", summary="Everything stored of a ticker", **PRICE_PAGE)
async def list_prices(
    runtime: RuntimeDep,
    key: TickerDep,
    limit: Limit = DEFAULT_ITEMS,
    cursor: Cursor = None,
    order: OrderParameter = Order.ASC,
) -> Response:
    """Every price stored of a ticker, page by page; the cost of a page does not grow."""
    return await _page_response(runtime, PriceList(ALL_PATH, key, order, limit), cursor)


@router.get(
    "/latest",
    summary="The newest price",
    response_model=LatestPriceOut | LatestPriceListOut,
    responses=problem_responses(TickerNotFound, NoPriceYet, PriceTooOld),
)
async def latest_price(
    runtime: RuntimeDep,
    keys: TickersDep,
    max_age_seconds: Annotated[
        Seconds, Query(description="Answer 404 `price_too_old` when it is older.")
    ] = None,
) -> Response:
    """The newest price with its age, and whether it is stale (older than two intervals).

    Of several tickers the prices are `items`, in the order in which they are named.
    """
    now = runtime.now()
    prices = [await runtime.reader.read_latest(key, now, max_age_seconds) for key in keys]
    return _json_response(
        encode_latest(prices[0]) if len(prices) == 1 else encode_latest_list(prices)
    )


@router.get("/history", summary="The newest prices, newest first", **PRICE_PAGE)
async def price_history(
    runtime: RuntimeDep,
    key: TickerDep,
    as_of_us: AsOfDep,
    limit: Limit = DEFAULT_HISTORY_ITEMS,
    cursor: Cursor = None,
) -> Response:
    """The newest prices, newest first; `next` leads to older ones."""
    price_list = PriceList(HISTORY_PATH, key, Order.DESC, limit, as_of_us=as_of_us)
    return await _page_response(runtime, price_list, cursor)


@router.get("/period", summary="The prices of a period", **PRICE_PAGE)
@router.get(
    "/filter",
    name="filter_prices",
    summary="The prices of a period, by its other name",
    **PRICE_PAGE,
)
async def prices_of_period(
    runtime: RuntimeDep,
    key: TickerDep,
    requested: RequestedRangeDep,
    as_of_us: AsOfDep,
    limit: Limit = DEFAULT_ITEMS,
    cursor: Cursor = None,
) -> Response:
    """The prices of a period, oldest first; both bounds are inclusive, either may be left out."""
    price_list = PriceList(PERIOD_PATH, key, Order.ASC, limit, requested.time_range, as_of_us)
    response = await _page_response(runtime, price_list, cursor)
    if requested.is_relative:  # the same address means other rows a minute later
        response.headers["Cache-Control"] = REVALIDATE
    return response


@router.get(
    "/at",
    summary="The price at a moment",
    response_model=PriceAtOut,
    responses=problem_responses(TickerNotFound, NoPriceNear),
)
async def price_at(
    runtime: RuntimeDep,
    key: TickerDep,
    timestamp: Annotated[
        TimestampParameter,
        Query(
            description=f"The moment: {TIMESTAMP_FORMATS}.",
            openapi_examples={"an hour ago": {"value": "-1h"}},
        ),
    ],
    as_of_us: AsOfDep,
    tolerance_seconds: Annotated[
        Seconds, Query(description="How far back to look; two intervals if left out.")
    ] = None,
) -> Response:
    """The newest price at or before a moment, at most the tolerance away."""
    at_second = floor_seconds(timestamp.at(runtime.now()))
    price = await runtime.reader.read_at(key, at_second, tolerance_seconds, as_of_us)
    return _json_response(encode_price(price))


async def _page_response(runtime: Runtime, price_list: PriceList, cursor: str | None) -> Response:
    time_range = price_list.time_range
    if cursor is not None:
        time_range = price_list.range_after(decode_cursor(cursor, price_list.scope))
    page = await runtime.reader.read_page(
        price_list.key,
        time_range,
        price_list.order,
        price_list.limit,
        as_of_us=price_list.as_of_us,
    )
    return _json_response(*encode_page_response(price_list, page))


def _json_response(body: bytes, headers: Mapping[str, str] | None = None) -> Response:
    return Response(body, media_type="application/json", headers=headers)
