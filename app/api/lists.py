"""Lists of prices, page by page: where they lead on, and how their pages go out."""

from dataclasses import dataclass
from hashlib import blake2b

from app.api.cursors import write_cursor
from app.api.encoding import encode_page
from app.api.pages import link_to, page_url
from app.domain.lines import LinePage
from app.domain.prices import Order, Span, TickerKey

ALL_PATH = "/api/v1/prices"
HISTORY_PATH = "/api/v1/prices/history"
PERIOD_PATH = "/api/v1/prices/period"
EVER = Span()
OPEN = "no-cache"
"""It may be kept, and must be asked for whether it still is what it was."""
SEALED = "public, max-age=3600"
"""Every slot has its price, and a price never changes; only who removes prices outdates it."""


@dataclass(frozen=True, slots=True)
class PriceList:
    """A list that is read page by page: its address, its ticker, its direction."""

    path: str
    key: TickerKey
    order: Order
    limit: int
    span: Span = EVER

    @property
    def scope(self) -> str:
        """Name the list that a cursor belongs to."""
        return f"{self.path} {self.key} {self.order}"

    def beyond(self, position: int) -> Span:
        """Give what is left of the span after a position, in the list's direction."""
        start, end = self.span
        if self.order is Order.ASC:
            return Span(position + 1 if start is None else max(start, position + 1), end)
        return Span(start, position - 1 if end is None else min(end, position - 1))

    def next_url(self, page: LinePage) -> str | None:
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


def page_answer(listed: PriceList, page: LinePage) -> tuple[bytes, dict[str, str]]:
    """Give a page's body, and its headers."""
    url = listed.next_url(page)
    headers = {"Cache-Control": SEALED if page.is_complete else OPEN}
    if page.tag:
        headers["ETag"] = _etag(f"{page.tag} {page.count} {url}")
    if url is not None:
        headers.update(link_to(url))
    return encode_page(listed.key, page, url), headers


def _etag(words: str) -> str:
    return f'W/"{blake2b(words.encode(), digest_size=12).hexdigest()}"'
