"""The route that serves candles."""

import json
from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.api.cursors import decode_cursor, encode_cursor
from app.api.dependencies import RuntimeDep, TickerDep
from app.api.errors import TICKER_ERRORS, problem_responses
from app.api.pagination import (
    PAGE_RESPONSE,
    Cursor,
    Limit,
    as_of_scope,
    format_as_of,
    link_header,
    page_url,
)
from app.api.schemas import CandleListOut
from app.api.time_parameters import AsOfDep, TimeRangeDep
from app.core.errors import ParametersInvalid
from app.domain.candle_queries import CandleInterval, CandleQuery, Fill
from app.domain.encoded_rows import EncodedPage

PATH = "/api/v1/prices/candles"
MAX_GAP_SECONDS = 10_000_000_000

router = APIRouter(prefix="/prices", tags=["prices"], responses=problem_responses(*TICKER_ERRORS))

IntervalParameter = Annotated[
    CandleInterval,
    Query(description="How long a candle is.", openapi_examples={"an hour": {"value": "1h"}}),
]
FillParameter = Annotated[
    Fill,
    Query(
        description="What stands where nothing was recorded: no candle, one that repeats the "
        "close before it, or one of nulls."
    ),
]
MaxGapParameter = Annotated[
    int | None,
    Query(
        ge=0,
        le=MAX_GAP_SECONDS,
        description="Fill no gap that is longer, from the end of one candle to the start of the "
        "next; with `fill`.",
    ),
]


@router.get("/candles", summary="Candles", response_model=CandleListOut, responses=PAGE_RESPONSE)
async def candles(
    runtime: RuntimeDep,
    key: TickerDep,
    interval: IntervalParameter,
    time_range: TimeRangeDep,
    as_of_us: AsOfDep,
    limit: Limit = 1000,
    cursor: Cursor = None,
    fill: FillParameter = Fill.NONE,
    max_gap_seconds: MaxGapParameter = None,
) -> Response:
    """The candles that start in a period, oldest first; the bounds are inclusive.

    A candle covers all of its interval, also where that reaches beyond the period. It is closed
    when no live price can come for it any more; a repair may still fill in what was missed.
    """
    if max_gap_seconds is not None and fill is Fill.NONE:
        raise ParametersInvalid({"max_gap_seconds": "needs fill=previous or fill=null"})
    query = remaining = CandleQuery(
        key, interval, time_range, fill, limit, max_gap_seconds, as_of_us
    )
    if cursor is not None:
        remaining = query.after(decode_cursor(cursor, _cursor_scope(query)))
    page = await runtime.reader.read_candles(remaining)
    url = _next_url(query, page)
    body = _encode_page(query, page, url)
    return Response(body, media_type="application/json", headers=link_header(url))


def _cursor_scope(query: CandleQuery) -> str:
    max_gap = "" if query.max_gap_seconds is None else f" {query.max_gap_seconds}"
    return f"{PATH} {query.key} {query.interval} {query.fill}{max_gap}{as_of_scope(query.as_of_us)}"


def _next_url(query: CandleQuery, page: EncodedPage) -> str | None:
    if page.last is None or not page.has_more:
        return None
    cursor = encode_cursor(page.last, _cursor_scope(query))
    others = {
        "interval": query.interval.value,
        "fill": query.fill.value,
        "max_gap_seconds": None if query.max_gap_seconds is None else str(query.max_gap_seconds),
        "as_of": format_as_of(query.as_of_us),
    }
    return page_url(PATH, query.key, query.time_range, query.limit, cursor, **others)


def _encode_page(query: CandleQuery, page: EncodedPage, url: str | None) -> bytes:
    head = (
        f'{{"exchange":"{query.key.exchange}","ticker":"{query.key.ticker}",'
        f'"interval":"{query.interval}","count":{page.count},"items":['
    )
    return b"".join((head.encode(), *page.pieces, f'],"next":{json.dumps(url)}}}'.encode()))
