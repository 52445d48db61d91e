"""The route that accounts for every slot."""

from collections.abc import Sequence

from fastapi import APIRouter, Response

from app.api.cursors import read_cursor, write_cursor
from app.api.dependencies import RuntimeDep, TickerDep
from app.api.errors import problems
from app.api.pagination import LINKED, Cursor, Limit, link_to, page_url
from app.api.schemas import CoverageOut, GapOut
from app.api.time_parameters import SpanDep
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
    responses=problems(TickerNotFound, ParametersInvalid, DatabaseUnavailable, SchemaOutdated),
)


@router.get("", summary="What is stored and what is missing", responses=LINKED)
async def coverage(
    runtime: RuntimeDep,
    response: Response,
    key: TickerDep,
    span: SpanDep,
    limit: Limit = 1000,
    cursor: Cursor = None,
) -> CoverageOut:
    """How many slots were promised, stored and missed in a period, and each gap with its reason.

    Slots that may still get their live price are left out. The bounds are inclusive.
    """
    await runtime.reader.require_known_ticker(key)
    (found,) = await runtime.coverage.measure(span, [key])
    listed = found.gaps if cursor is None else _beyond(found.gaps, read_cursor(cursor, str(key)))
    url = _next_url(key, span, limit, listed)
    if url is not None:
        response.headers.update(link_to(url))
    return _told(found, listed[:limit], url, runtime.settings.collect_interval_seconds)


def _beyond(gaps: Sequence[Gap], position: int) -> Sequence[Gap]:
    return [gap for gap in gaps if gap.first > position]


def _next_url(key: TickerKey, span: TimeRange, limit: int, listed: Sequence[Gap]) -> str | None:
    if len(listed) <= limit:
        return None
    query = {
        "ticker": key.ticker,
        "exchange": key.exchange,
        "from_dt": span.start,
        "to_dt": span.end,
        "limit": limit,
        "cursor": write_cursor(listed[limit - 1].first, str(key)),
    }
    return page_url(PATH, query)


def _told(
    found: Coverage, listed: Sequence[Gap], url: str | None, interval_seconds: int
) -> CoverageOut:
    tally = found.tally
    return CoverageOut(
        exchange=found.key.exchange,
        ticker=found.key.ticker,
        first=tally.first,
        last=tally.last,
        interval_seconds=tally.interval_seconds or interval_seconds,
        expected=tally.expected,
        stored=tally.stored,
        live=tally.live,
        backfilled=tally.backfilled,
        imported=tally.imported,
        missing=tally.missing,
        longest_gap=found.longest_gap,
        gaps=[
            GapOut(first=gap.first, last=gap.last, missing=gap.missing, reason=gap.why)
            for gap in listed
        ],
        next=url,
    )
