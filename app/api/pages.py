"""What lists that are read page by page have in common."""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Query

from app.domain.times import write_seconds

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
MOST_ITEMS = 10_000
DEFAULT_ITEMS = 1_000
MOMENTS = ("from_dt", "to_dt")
HISTORY_ITEMS = 100

Limit = Annotated[int, Query(ge=1, le=MOST_ITEMS, description="Items on a page.")]
Cursor = Annotated[
    str | None, Query(max_length=100, description="Where the page before ended: from `next`.")
]


def page_url(path: str, query: Mapping[str, object]) -> str:
    """Give the address of a page; parameters that are None are left out, moments are seconds."""
    given = {name: value for name, value in query.items() if value is not None}
    given |= {name: write_seconds(int(str(given[name]))) for name in MOMENTS if name in given}
    return f"{path}?{urlencode(given)}"


def link_to(url: str) -> dict[str, str]:
    """Give the header that names the next page (RFC 8288)."""
    return {"Link": f'<{url}>; rel="next"'}
