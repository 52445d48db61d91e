"""Pagination: limits, cursors, links to the next page, and how pages may be cached."""

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Query

from app.api.cursors import encode_cursor
from app.api.middleware.etag import weak_etag
from app.api.serialization import encode_page
from app.domain.as_of import format_exactly
from app.domain.encoded_rows import EncodedPage
from app.domain.prices import UNBOUNDED, Order, TickerKey, TimeRange
from app.domain.times import format_seconds

ALL_PATH = "/api/v1/prices"
HISTORY_PATH = "/api/v1/prices/history"
PERIOD_PATH = "/api/v1/prices/period"
REVALIDATE = "no-cache"
"""A cache may keep the page and must revalidate it before each use."""
CACHEABLE = "public, max-age=3600"
"""For pages without gaps: prices never change, unless someone deletes them."""
PAGE_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A page.",
        "headers": {
            "Link": {
                "description": 'The next page, `<…>; rel="next"`; absent on the last one.',
                "schema": {"type": "string"},
            }
        },
    }
}
MAX_ITEMS = 10_000
DEFAULT_ITEMS = 1_000
DEFAULT_HISTORY_ITEMS = 100

Limit = Annotated[int, Query(ge=1, le=MAX_ITEMS, description="Items on a page.")]
Cursor = Annotated[
    str | None, Query(max_length=100, description="Where the page before ended: from `next`.")
]


def page_url(
    path: str, key: TickerKey, time_range: TimeRange, limit: int, cursor: str, **others: str | None
) -> str:
    """Return the address of a page; parameters that are None are left out, times are seconds."""
    start, end = (None if end is None else format_seconds(end) for end in time_range)
    query = {"ticker": key.ticker, "exchange": key.exchange, **others, "from_dt": start}
    query |= {"to_dt": end, "limit": str(limit), "cursor": cursor}
    return (
        f"{path}?{urlencode({name: value for name, value in query.items() if value is not None})}"
    )


def as_of_scope(as_of_us: int | None) -> str:
    """Return what distinguishes the cursors of a list as of a moment from those of others."""
    return "" if as_of_us is None else f" as of {as_of_us}"


def format_as_of(as_of_us: int | None) -> str | None:
    """Format a moment so that it is parsed as the same again; None stays None."""
    return None if as_of_us is None else format_exactly(as_of_us)


def link_header(url: str | None) -> dict[str, str]:
    """Return the header that names the next page (RFC 8288); none on the last one."""
    return {} if url is None else {"Link": f'<{url}>; rel="next"'}


@dataclass(frozen=True, slots=True)
class PriceList:
    """A list of prices that is served page by page, ascending or descending."""

    path: str
    key: TickerKey
    order: Order
    limit: int
    time_range: TimeRange = UNBOUNDED
    as_of_us: int | None = None

    @property
    def scope(self) -> str:
        """Names the list that a cursor belongs to."""
        return f"{self.path} {self.key} {self.order}{as_of_scope(self.as_of_us)}"

    def range_after(self, position: int) -> TimeRange:
        """Return what is left of the range after a position, in the list's direction."""
        start, end = self.time_range
        if self.order is Order.ASC:
            return TimeRange(position + 1 if start is None else max(start, position + 1), end)
        return TimeRange(start, position - 1 if end is None else min(end, position - 1))

    def next_url(self, page: EncodedPage) -> str | None:
        """Return the address of the next page; None on the last one."""
        if not page.has_more or page.last is None:
            return None
        cursor = encode_cursor(page.last, self.scope)
        order = self.order.value if self.path == ALL_PATH else None
        others = {"order": order, "as_of": format_as_of(self.as_of_us)}
        return page_url(self.path, self.key, self.time_range, self.limit, cursor, **others)


def encode_page_response(price_list: PriceList, page: EncodedPage) -> tuple[bytes, dict[str, str]]:
    """Return a page's body and its headers."""
    url = price_list.next_url(page)
    headers = {"Cache-Control": CACHEABLE if page.is_complete else REVALIDATE, **link_header(url)}
    if page.tag:
        headers["ETag"] = weak_etag(f"{page.tag} {page.count} {url}".encode())
    return encode_page(price_list.key, page, url), headers
