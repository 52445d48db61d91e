"""Sizes: ten million rows of a ticker beside ten thousand."""

from collections.abc import Iterator
from functools import partial
from typing import Final

from benchmarks import load
from benchmarks.load import Question
from benchmarks.results import RATIO, Result, rate
from benchmarks.scale import DAY_MINUTES, MINUTE
from benchmarks.stand import AT, BIG, HISTORY, LATEST, PERIOD, SMALL, SMALL_ROWS, Stand

AS_FAST: Final = 0.8


def measure(stand: Stand) -> Iterator[Result]:
    """Ask a long ticker and a short one alike: out of the memory, and from the table itself."""
    if not stand.scale.is_long:
        return
    newest = dict.fromkeys((BIG, SMALL), (stand.newest, 1))
    week = dict.fromkeys((BIG, SMALL), _stored(stand, SMALL_ROWS))
    ever = {BIG: _stored(stand, stand.scale.big_rows), SMALL: _stored(stand, SMALL_ROWS)}
    yield _compare(stand, "latest", LATEST, newest)
    yield _compare(stand, "a day", PERIOD, week)
    yield _compare(stand, "the newest day, from the table", HISTORY, newest)
    yield _compare(stand, "any moment, from the table", AT, ever)


def _stored(stand: Stand, rows: int) -> tuple[int, int]:
    """Give the first slot of so many rows, and how many days start among them."""
    return stand.newest - (rows - 1) * MINUTE, rows - DAY_MINUTES + 1


def _compare(stand: Stand, name: str, path: str, asked: dict[str, tuple[int, int]]) -> Result:
    def measure(ticker: str) -> float:
        question = Question((ticker,), *asked[ticker])
        return load.ask(stand.api.url + path, question, stand.scale.seconds).per_second

    for ticker in asked:
        measure(ticker)  # to warm up
    seen = load.medians(stand.scale, {ticker: partial(measure, ticker) for ticker in asked})
    detail = f"{rate(seen[BIG])} of {stand.scale.big_rows:,} rows to {rate(seen[SMALL])}"
    ratio = seen[BIG] / seen[SMALL]
    return Result(f"{name}, of that at 10,000 rows", ratio, RATIO, detail, at_least=AS_FAST)
