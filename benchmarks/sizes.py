"""Sizes: ten million rows of a ticker beside ten thousand."""

from collections.abc import Iterator
from functools import partial
from typing import Final

from benchmarks import load
from benchmarks.environment import AT, BIG, HISTORY, LATEST, PERIOD, SMALL, SMALL_ROWS, Environment
from benchmarks.load import Question
from benchmarks.results import RATIO, Result, rate
from benchmarks.scale import DAY_MINUTES, MINUTE

AS_FAST: Final = 0.8


def measure(environment: Environment) -> Iterator[Result]:
    """Ask a long ticker and a short one alike: out of the memory, and from the table itself."""
    if not environment.scale.is_long:
        return
    newest = dict.fromkeys((BIG, SMALL), (environment.newest, 1))
    week = dict.fromkeys((BIG, SMALL), _stored(environment, SMALL_ROWS))
    ever = {
        BIG: _stored(environment, environment.scale.big_rows),
        SMALL: _stored(environment, SMALL_ROWS),
    }
    yield _compare(environment, "latest", LATEST, newest)
    yield _compare(environment, "a day", PERIOD, week)
    yield _compare(environment, "the newest day, from the table", HISTORY, newest)
    yield _compare(environment, "any moment, from the table", AT, ever)


def _stored(environment: Environment, rows: int) -> tuple[int, int]:
    """Give the first slot of so many rows, and how many days start among them."""
    return environment.newest - (rows - 1) * MINUTE, rows - DAY_MINUTES + 1


def _compare(
    environment: Environment, name: str, path: str, asked: dict[str, tuple[int, int]]
) -> Result:
    def measure(ticker: str) -> float:
        question = Question((ticker,), *asked[ticker])
        return load.ask(environment.api.url + path, question, environment.scale.seconds).per_second

    for ticker in asked:
        measure(ticker)  # to warm up
    seen = load.medians(environment.scale, {ticker: partial(measure, ticker) for ticker in asked})
    detail = f"{rate(seen[BIG])} of {environment.scale.big_rows:,} rows to {rate(seen[SMALL])}"
    ratio = seen[BIG] / seen[SMALL]
    return Result(f"{name}, of that at 10,000 rows", ratio, RATIO, detail, at_least=AS_FAST)
