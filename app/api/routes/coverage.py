"""The route that serves the coverage of a ticker: what is stored and what is missing."""

from fastapi import APIRouter, Response

from app.api.cursors import decode_cursor, encode_cursor
from app.api.dependencies import RuntimeDep, TickerDep
from app.api.errors import TICKER_ERRORS, problem_responses
from app.api.pagination import PAGE_RESPONSE, Cursor, Limit, link_header, page_url
from app.api.schemas import CoverageOut, GapOut
from app.api.time_parameters import TimeRangeDep

PATH = "/api/v1/coverage"

router = APIRouter(
    prefix="/coverage",
    tags=["coverage"],
    responses=problem_responses(*TICKER_ERRORS),
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
    (measured,) = await runtime.coverage.measure(time_range, [key])
    tally, gaps, url = measured.tally, measured.gaps, None
    if cursor is not None:
        last = decode_cursor(cursor, str(key))
        gaps = [gap for gap in gaps if gap.first > last]
    if len(gaps) > limit:
        next_cursor = encode_cursor(gaps[limit - 1].first, str(key))
        url = page_url(PATH, key, time_range, limit, next_cursor)
    response.headers.update(link_header(url))
    interval = tally.interval_seconds or runtime.settings.collect_interval_seconds
    return CoverageOut(
        **key._asdict(),
        **tally._replace(interval_seconds=interval)._asdict(),
        stored=tally.stored,
        missing=tally.missing,
        longest_gap=measured.longest_gap,
        gaps=[
            GapOut(first=gap.first, last=gap.last, missing=gap.missing, reason=gap.why)
            for gap in gaps[:limit]
        ],
        next=url,
    )
