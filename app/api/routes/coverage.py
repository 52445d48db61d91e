"""The route that serves the coverage of a ticker: what is stored and what is missing."""

from collections.abc import Sequence

from fastapi import APIRouter, Response

from app.api.cursors import decode_cursor, encode_cursor
from app.api.dependencies import RuntimeDep, TickerDep
from app.api.errors import problem_responses
from app.api.pagination import PAGE_RESPONSE, Cursor, Limit, link_header, page_url
from app.api.schemas import CoverageOut, GapOut
from app.api.time_parameters import TimeRangeDep
from app.core.errors import (
    DatabaseUnavailable,
    ParametersInvalid,
    SchemaOutdated,
    TickerNotFound,
)
from app.domain.coverage import Coverage
from app.domain.gaps import Gap
from app.domain.prices import TickerKey, TimeRange

PATH = "/api/v1/coverage"

router = APIRouter(
    prefix="/coverage",
    tags=["coverage"],
    responses=problem_responses(
        TickerNotFound, ParametersInvalid, DatabaseUnavailable, SchemaOutdated
    ),
)


@router.get("", summary="What is stored and what is missing", responses=PAGE_RESPONSE)
async def coverage(
    runtime: RuntimeDep,
    response: Response,
    key: TickerDep,
    time_range: TimeRangeDep,
    limit: Limit = 1000,
    cursor: Cursor = None,
) -> CoverageOut:
    """How many slots were promised, stored and missed in a period, and each gap with its reason.

    Slots that may still get their live price are left out. The bounds are inclusive.
    """
    await runtime.reader.require_known_ticker(key)
    (ticker_coverage,) = await runtime.coverage.measure(time_range, [key])
    gaps = (
        ticker_coverage.gaps
        if cursor is None
        else _after(ticker_coverage.gaps, decode_cursor(cursor, str(key)))
    )
    url = _next_url(key, time_range, limit, gaps)
    if url is not None:
        response.headers.update(link_header(url))
    return _encode_coverage(
        ticker_coverage, gaps[:limit], url, runtime.settings.collect_interval_seconds
    )


def _after(gaps: Sequence[Gap], position: int) -> Sequence[Gap]:
    return [gap for gap in gaps if gap.first > position]


def _next_url(key: TickerKey, time_range: TimeRange, limit: int, gaps: Sequence[Gap]) -> str | None:
    if len(gaps) <= limit:
        return None
    query = {
        "ticker": key.ticker,
        "exchange": key.exchange,
        "from_dt": time_range.start,
        "to_dt": time_range.end,
        "limit": limit,
        "cursor": encode_cursor(gaps[limit - 1].first, str(key)),
    }
    return page_url(PATH, query)


def _encode_coverage(
    ticker_coverage: Coverage, gaps: Sequence[Gap], url: str | None, interval_seconds: int
) -> CoverageOut:
    tally = ticker_coverage.tally
    return CoverageOut(
        exchange=ticker_coverage.key.exchange,
        ticker=ticker_coverage.key.ticker,
        first=tally.first,
        last=tally.last,
        interval_seconds=tally.interval_seconds or interval_seconds,
        expected=tally.expected,
        stored=tally.stored,
        live=tally.live,
        backfilled=tally.backfilled,
        imported=tally.imported,
        missing=tally.missing,
        longest_gap=ticker_coverage.longest_gap,
        gaps=[
            GapOut(first=gap.first, last=gap.last, missing=gap.missing, reason=gap.why)
            for gap in gaps
        ],
        next=url,
    )
