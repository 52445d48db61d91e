"""Candles: a year by the hour and ten years by the day, beside SQL over the minutes."""

import json
import time
import urllib.request
from collections.abc import Iterator
from typing import Final

from benchmarks import load
from benchmarks.environment import BIG, TICKERS, Environment
from benchmarks.processes import Broken
from benchmarks.results import RATIO, Result, seconds
from benchmarks.scale import DAY_MINUTES, MINUTE

AS_FAST: Final = 5.0
YEAR_DAYS: Final = 365

# The primary key gives the order, so that only the close needs a sort; no quicker form was found.
_FROM_MINUTES: Final = """
SELECT timestamp - timestamp % {width} AS start,
       (array_agg(price ORDER BY timestamp))[1] AS open, max(price) AS high, min(price) AS low,
       (array_agg(price ORDER BY timestamp DESC))[1] AS close, count(*) AS samples
FROM prices
WHERE exchange = 'deribit' AND ticker = '{ticker}' AND timestamp BETWEEN {first} AND {last}
GROUP BY 1 ORDER BY 1
"""


def measure(environment: Environment) -> Iterator[Result]:
    """Read candles of as long as is stored, at most of a year, and of ten years."""
    days = min(YEAR_DAYS, environment.scale.rows // DAY_MINUTES - 1)
    yield _compare(environment, f"{days} days of 1h candles", TICKERS[0], ("1h", 3600), days)
    if environment.scale.is_long:
        yield _compare(environment, "ten years of 1d candles", BIG, ("1d", 86_400), YEAR_DAYS * 10)


def _compare(
    environment: Environment, name: str, ticker: str, interval: tuple[str, int], days: int
) -> Result:
    word, width = interval
    end = environment.newest - environment.newest % 86_400
    first, last = end - days * DAY_MINUTES * MINUTE, end - MINUTE
    statement = _FROM_MINUTES.format(width=width, ticker=ticker, first=first, last=last)
    url = (
        f"{environment.api.url}/api/v1/prices/candles?ticker={ticker}&interval={word}"
        f"&from_dt={first}&to_dt={last}&limit=10000"
    )
    expected = days * 86_400 // width
    _get(url, expected)  # to warm up
    taken = load.medians(
        environment.scale,
        {"ours": lambda: _get(url, expected), "sql": lambda: environment.sql.seconds(statement)},
    )
    detail = f"{seconds(taken['ours'])}, from minutes {seconds(taken['sql'])}"
    ratio = taken["sql"] / taken["ours"]
    return Result(f"{name}, of SQL over minutes", ratio, RATIO, detail, at_least=AS_FAST)


def _get(url: str, expected: int) -> float:
    start = time.perf_counter()
    with urllib.request.urlopen(url) as answer:
        body = answer.read()
    taken = time.perf_counter() - start
    if (count := json.loads(body)["count"]) != expected:
        raise Broken(f"{count} candles instead of {expected}")
    return taken
