"""The routes that read prices."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.api.cursors import read_cursor
from app.api.dependencies import RuntimeDep, TickerDep, TickersDep
from app.api.errors import problems
from app.api.pagination import (
    ALL_PATH,
    DEFAULT_ITEMS,
    HISTORY_ITEMS,
    HISTORY_PATH,
    LINKED,
    PERIOD_PATH,
    REVALIDATE,
    Cursor,
    Limit,
    PriceList,
    page_answer,
)
from app.api.schemas import LatestPriceListOut, LatestPriceOut, PriceAtOut, PriceListOut
from app.api.serialization import encode_latest, encode_latest_list, encode_price
from app.api.time_parameters import FORMS, MomentParameter, PeriodDep
from app.core.errors import (
    DatabaseUnavailable,
    NoPriceNear,
    NoPriceYet,
    ParametersInvalid,
    PriceTooOld,
    SchemaOutdated,
    TickerNotFound,
)
from app.domain.prices import Order
from app.domain.times import floor_seconds
from app.runtime import Runtime

MAX_TOLERANCE_SECONDS = 10_000_000_000

router = APIRouter(
    prefix="/prices",
    tags=["prices"],
    responses=problems(TickerNotFound, ParametersInvalid, DatabaseUnavailable, SchemaOutdated),
)

OrderParameter = Annotated[Order, Query(description="Oldest first or newest first.")]
Seconds = Annotated[int | None, Query(ge=0, le=MAX_TOLERANCE_SECONDS)]


@router.get(
    "",
    summary="Everything stored of a ticker",
    response_model=PriceListOut,
    responses=LINKED,
)
async def list_prices(
    runtime: RuntimeDep,
    key: TickerDep,
    limit: Limit = DEFAULT_ITEMS,
    cursor: Cursor = None,
    order: OrderParameter = Order.ASC,
) -> Response:
    """Every price stored of a ticker, page by page; the cost of a page does not grow."""
    return await _page(runtime, PriceList(ALL_PATH, key, order, limit), cursor)


@router.get(
    "/latest",
    summary="The newest price",
    response_model=LatestPriceOut | LatestPriceListOut,
    responses=problems(TickerNotFound, NoPriceYet, PriceTooOld),
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
    found = [await runtime.reader.read_latest(key, now, max_age_seconds) for key in keys]
    return _json(encode_latest(found[0]) if len(found) == 1 else encode_latest_list(found))


@router.get(
    "/history",
    summary="The newest prices, newest first",
    response_model=PriceListOut,
    responses=LINKED,
)
async def price_history(
    runtime: RuntimeDep,
    key: TickerDep,
    limit: Limit = HISTORY_ITEMS,
    cursor: Cursor = None,
) -> Response:
    """The newest prices, newest first; `next` leads to older ones."""
    listed = PriceList(HISTORY_PATH, key, Order.DESC, limit)
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
    period: PeriodDep,
    limit: Limit = DEFAULT_ITEMS,
    cursor: Cursor = None,
) -> Response:
    """The prices of a period, oldest first; both bounds are inclusive, either may be left out."""
    listed = PriceList(PERIOD_PATH, key, Order.ASC, limit, period.span)
    answer = await _page(runtime, listed, cursor)
    if period.is_relative:  # the same address means other rows a minute later
        answer.headers["Cache-Control"] = REVALIDATE
    return answer


@router.get(
    "/at",
    summary="The price at a moment",
    response_model=PriceAtOut,
    responses=problems(TickerNotFound, NoPriceNear),
)
async def price_at(
    runtime: RuntimeDep,
    key: TickerDep,
    timestamp: Annotated[
        MomentParameter,
        Query(
            description=f"The moment: {FORMS}.",
            openapi_examples={"an hour ago": {"value": "-1h"}},
        ),
    ],
    tolerance_seconds: Annotated[
        Seconds, Query(description="How far back to look; two intervals if left out.")
    ] = None,
) -> Response:
    """The newest price at or before a moment, at most the tolerance away."""
    moment = floor_seconds(timestamp.at(runtime.now()))
    price = await runtime.reader.read_at(key, moment, tolerance_seconds)
    return _json(encode_price(price))


async def _page(runtime: Runtime, listed: PriceList, cursor: str | None) -> Response:
    span = listed.span if cursor is None else listed.beyond(read_cursor(cursor, listed.scope))
    page = await runtime.reader.read_page(listed.key, span, listed.order, listed.limit)
    return _json(*page_answer(listed, page))


def _json(body: bytes, headers: Mapping[str, str] | None = None) -> Response:
    return Response(body, media_type="application/json", headers=headers)
