"""The route that serves the coverage of a ticker: what is stored and what is missing."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from app.api.cursors import decode_cursor, encode_cursor
from app.api.dependencies import RuntimeDep, TickerDep
from app.api.errors import TICKER_ERRORS, problem_responses
from app.api.pagination import PAGE_RESPONSE, Cursor, Limit, link_header, page_url
from app.api.schemas import CoverageByPeriodOut, CoverageOut, GapOut, PeriodCoverageOut
from app.api.time_parameters import TimeRangeDep
from app.domain.coverage import CoveragePeriod, PeriodQuery, SlotCounts
from app.domain.prices import TickerKey, TimeRange
from app.runtime import Runtime

PATH = "/api/v1/coverage"

router = APIRouter(
    prefix="/coverage",
    tags=["coverage"],
    responses=problem_responses(*TICKER_ERRORS),
)

PeriodParameter = Annotated[
    CoveragePeriod | None,
    Query(description="Count by days or by hours of UTC (`items`) instead of listing the gaps."),
]


@router.get(
    "",
    summary="What is stored and what is missing",
    response_model=CoverageOut | CoverageByPeriodOut,
    responses=PAGE_RESPONSE,
)
async def coverage(
    runtime: RuntimeDep,
    response: Response,
    key: TickerDep,
    time_range: TimeRangeDep,
    by: PeriodParameter = None,
    limit: Limit = 1000,
    cursor: Cursor = None,
) -> CoverageOut | CoverageByPeriodOut:
    """How many slots were promised, stored and missed in a period, and each gap with its reason.

    Slots that may still get their live price are left out. The bounds are inclusive. With `by`,
    the same numbers of each day or hour that has slots come instead of the gaps.
    """
    await runtime.reader.require_known_ticker(key)
    body: CoverageOut | CoverageByPeriodOut
    if by is None:
        body = await _coverage_with_gaps(runtime, key, time_range, limit, cursor)
    else:
        body = await _coverage_by_period(runtime, PeriodQuery(key, time_range, by, limit), cursor)
    response.headers.update(link_header(body.next))
    return body


async def _coverage_with_gaps(
    runtime: Runtime, key: TickerKey, time_range: TimeRange, limit: int, cursor: str | None
) -> CoverageOut:
    (measured,) = await runtime.coverage.measure(time_range, [key])
    gaps, url = measured.gaps, None
    if cursor is not None:
        last = decode_cursor(cursor, str(key))
        gaps = [gap for gap in gaps if gap.first > last]
    if len(gaps) > limit:
        next_cursor = encode_cursor(gaps[limit - 1].first, str(key))
        url = page_url(PATH, key, time_range, limit, next_cursor)
    return CoverageOut(
        **_slot_counts(runtime, key, measured.slot_counts),
        longest_gap=measured.longest_gap,
        gaps=[
            GapOut(first=gap.first, last=gap.last, missing=gap.missing, reason=gap.reason_code)
            for gap in gaps[:limit]
        ],
        next=url,
    )


async def _coverage_by_period(
    runtime: Runtime, query: PeriodQuery, cursor: str | None
) -> CoverageByPeriodOut:
    key, scope = query.key, f"{query.key} by {query.period}"
    after = None if cursor is None else decode_cursor(cursor, scope)
    measured = await runtime.coverage.measure_by_period(query, after)
    url = None
    if measured.has_more:
        next_cursor = encode_cursor(max(measured.periods), scope)
        by = query.period.value
        url = page_url(PATH, key, query.time_range, query.limit, next_cursor, by=by)
    return CoverageByPeriodOut(
        **_slot_counts(runtime, key, measured.slot_counts),
        count=len(measured.periods),
        items=[
            PeriodCoverageOut(timestamp=start, **counts._asdict(), missing=counts.missing)
            for start, counts in measured.periods.items()
        ],
        next=url,
    )


def _slot_counts(runtime: Runtime, key: TickerKey, counts: SlotCounts) -> dict[str, Any]:
    interval = counts.interval_seconds or runtime.settings.collect_interval_seconds
    return {
        **key._asdict(),
        **counts._replace(interval_seconds=interval)._asdict(),
        "stored": counts.stored,
        "missing": counts.missing,
    }
