"""A client of TradingView's UDF protocol that behaves as TradingView's own does.

It reads the body whatever the HTTP status is, sends parameters that nobody has asked for, and pages
back in time from the first bar that it has.
"""

import json
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import urlencode

from tests.api.client import ApiClient

MAX_REQUESTS = 100

Parameters: TypeAlias = str | int


class UdfError(Exception):
    """An answer `{"s":"error"}`; its message is `errmsg`."""


class Bar(NamedTuple):
    """A bar with the digits that came."""

    time: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal


class History(NamedTuple):
    """Bars, or no data and perhaps the time of an earlier bar."""

    bars: list[Bar]
    has_no_data: bool
    next_time: int | None

    @property
    def times(self) -> list[int]:
        return [bar.time for bar in self.bars]


class UdfClient:
    """A data feed at an address, for one symbol."""

    def __init__(self, api: ApiClient, symbol: str = "BTC_USD") -> None:
        self._api = api
        self._symbol = symbol

    async def send(self, path: str, **parameters: Parameters) -> Any:  # noqa: ANN401  # any JSON
        """Send a request, and parse the body alone."""
        query = urlencode({"currencyCode": "USD", **parameters})
        answer = await self._api.get(f"/udf/{path}?{query}")
        parsed = json.loads(answer.body, parse_float=Decimal)
        if isinstance(parsed, dict) and parsed.get("s") == "error":
            assert set(parsed) == {"s", "errmsg"}
            raise UdfError(parsed["errmsg"])
        return parsed

    async def history(self, resolution: str = "1", **period: Parameters) -> History:
        """Ask for bars; `from_` is sent as `from`."""
        named = {name.rstrip("_"): value for name, value in period.items()}
        answer = await self.send("history", symbol=self._symbol, resolution=resolution, **named)
        if answer["s"] == "no_data":
            assert set(answer) <= {"s", "nextTime"}
            return History([], has_no_data=True, next_time=answer.get("nextTime"))
        return History(_bars(answer), has_no_data=False, next_time=None)

    async def pages_back(
        self, resolution: str, to: int, countback: int
    ) -> AsyncIterator[list[Bar]]:
        """Page back as a chart does that is dragged to the right, until there is no data."""
        for _ in range(MAX_REQUESTS):
            # the library guesses a `from` that knows of no gap
            guess = to - countback * 60
            page = await self.history(resolution, from_=guess, to=to, countback=countback)
            if page.has_no_data and page.next_time is None:
                return
            assert page.bars, "a chart would ask for ever"
            assert page.bars[-1].time < to, "a chart would get a bar twice"
            yield page.bars
            to = page.bars[0].time
        raise AssertionError("a chart asks for ever")


def _bars(answer: Mapping[str, Any]) -> list[Bar]:
    assert set(answer) == {"s", "t", "o", "h", "l", "c"}
    columns = [answer[name] for name in "tohlc"]
    bars = [Bar(*values) for values in zip(*columns, strict=True)]
    assert all(before.time < after.time for before, after in pairwise(bars))
    return bars
