"""Lists that are read page by page: limits, cursors, links to the next page, caching."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Query

from app.api.cursors import write_cursor
from app.api.middleware.etag import weak_etag
from app.api.serialization import encode_page
from app.domain.encoded_rows import EncodedPage
from app.domain.prices import UNBOUNDED, Order, TickerKey, TimeRange
from app.domain.times import format_seconds

ALL_PATH = "/api/v1/prices"
HISTORY_PATH = "/api/v1/prices/history"
PERIOD_PATH = "/api/v1/prices/period"
REVALIDATE = "no-cache"
"""It may be kept, and must be asked for whether it still is what it was."""
CACHEABLE = "public, max-age=3600"
"""Every slot has its price, and a price never changes; only who removes prices outdates it."""
LINKED: dict[int | str, dict[str, Any]] = {
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
MOMENTS = ("from_dt", "to_dt")
HISTORY_ITEMS = 100

Limit = Annotated[int, Query(ge=1, le=MAX_ITEMS, description="Items on a page.")]
Cursor = Annotated[
    str | None, Query(max_length=100, description="Where the page before ended: from `next`.")
]


def page_url(path: str, query: Mapping[str, object]) -> str:
    """Give the address of a page; parameters that are None are left out, moments are seconds."""
    given = {name: value for name, value in query.items() if value is not None}
    given |= {name: format_seconds(int(str(given[name]))) for name in MOMENTS if name in given}
    return f"{path}?{urlencode(given)}"


def link_to(url: str) -> dict[str, str]:
    """Give the header that names the next page (RFC 8288)."""
    return {"Link": f'<{url}>; rel="next"'}


@dataclass(frozen=True, slots=True)
class PriceList:
    """A list that is read page by page: its address, its ticker, its direction."""

    path: str
    key: TickerKey
    order: Order
    limit: int
    span: TimeRange = UNBOUNDED

    @property
    def scope(self) -> str:
        """Name the list that a cursor belongs to."""
        return f"{self.path} {self.key} {self.order}"

    def beyond(self, position: int) -> TimeRange:
        """Give what is left of the span after a position, in the list's direction."""
        start, end = self.span
        if self.order is Order.ASC:
            return TimeRange(position + 1 if start is None else max(start, position + 1), end)
        return TimeRange(start, position - 1 if end is None else min(end, position - 1))

    def next_url(self, page: EncodedPage) -> str | None:
        """Give the address of the page after this one, if there is one."""
        if not page.has_more or page.last is None:
            return None
        query = {
            "ticker": self.key.ticker,
            "exchange": self.key.exchange,
            "order": self.order.value if self.path == ALL_PATH else None,
            "from_dt": self.span.start,
            "to_dt": self.span.end,
            "limit": self.limit,
            "cursor": write_cursor(page.last, self.scope),
        }
        return page_url(self.path, query)


def page_answer(listed: PriceList, page: EncodedPage) -> tuple[bytes, dict[str, str]]:
    """Give a page's body, and its headers."""
    url = listed.next_url(page)
    headers = {"Cache-Control": CACHEABLE if page.is_complete else REVALIDATE}
    if page.tag:
        headers["ETag"] = weak_etag(f"{page.tag} {page.count} {url}".encode())
    if url is not None:
        headers.update(link_to(url))
    return encode_page(listed.key, page, url), headers
