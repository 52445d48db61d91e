"""Crowds: many connections at once: none is turned away, and none waits far longer than others."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from benchmarks import load
from benchmarks.environment import LATEST, PERIOD, TICKERS, Environment
from benchmarks.load import Load, Question
from benchmarks.reads import any_question, day_question
from benchmarks.results import RATIO, Result, rate

CROWDS: Final = (120, 500)
LASTING: Final = 4
"""So many times longer than elsewhere: until all have connected, some wait long."""
LATEST_ONE, CHANGING, BARE = "latest", "latest while prices change", "the bare function"
MAX_WAIT: Final = 10
"""Of the bare function's: what the slowest hundredth may wait for the newest price."""
CHANGE_EVERY_SECONDS: Final = 0.2
_CHANGE: Final = f"""
UPDATE prices SET price = price WHERE (exchange, ticker, timestamp) IN (
    SELECT exchange, ticker, max(timestamp) FROM prices
    WHERE exchange = 'deribit' AND ticker IN {TICKERS} AND timestamp >= {{since}} GROUP BY 1, 2)
"""  # noqa: S608  # constants


def measure(environment: Environment) -> Iterator[Result]:
    """Ask over many connections: for the newest price, for days, for what is not in memory."""
    asked = {
        LATEST_ONE: (environment.api.url + LATEST, Question(TICKERS)),
        CHANGING: (environment.api.url + LATEST, Question(TICKERS)),
        BARE: (environment.asgi_floor.url + "/?{ticker}", Question(TICKERS)),
        "a day": (environment.api.url + PERIOD, day_question(environment)),
        "any stretch": (environment.api.url + PERIOD, any_question(environment)),
    }
    for connections in CROWDS:
        seen: dict[str, Load] = {}
        for name, (url, question) in asked.items():
            with _changing(environment, is_changing=name is CHANGING):
                seconds = environment.scale.seconds * LASTING
                seen[name] = load.ask(url, question, seconds, connections)
            yield _errors(f"{name}, {connections} connections: errors", seen[name])
        for name in (LATEST_ONE, CHANGING):
            yield _longest(f"{name}, {connections} connections: p99", seen[name], seen[BARE])


def _errors(name: str, seen: Load) -> Result:
    detail = f"{rate(seen.per_second)}, p99 {seen.p99_ms:,.1f} ms"
    return Result(name, seen.errors, "", detail, at_most=0)


def _longest(name: str, seen: Load, bare: Load) -> Result:
    detail = f"{seen.p99_ms:,.1f} ms to {bare.p99_ms:,.1f} ms"
    ratio = seen.p99_ms / bare.p99_ms
    return Result(f"{name}, of the bare function's", ratio, RATIO, detail, at_most=MAX_WAIT)


@contextmanager
def _changing(environment: Environment, *, is_changing: bool) -> Iterator[None]:
    """Write the newest prices anew meanwhile, as they are."""
    ended = threading.Event()

    def change() -> None:
        while not ended.wait(CHANGE_EVERY_SECONDS):
            environment.sql.ask(_CHANGE.format(since=environment.newest - 3600))

    writer = threading.Thread(target=change)
    if is_changing:
        writer.start()
    try:
        yield
    finally:
        ended.set()
        if is_changing:
            writer.join()
