"""Crowds: many connections at once, where what counts is that none is turned away."""

from collections.abc import Iterator
from typing import Final

from benchmarks import load
from benchmarks.load import Question
from benchmarks.reads import any_question, day_question
from benchmarks.results import Result, rate
from benchmarks.stand import LATEST, PERIOD, TICKERS, Stand

CROWDS: Final = (120, 500)
LASTING: Final = 4
"""So many times longer than elsewhere: until all have connected, some wait long."""


def measure(stand: Stand) -> Iterator[Result]:
    """Ask over many connections: for the newest price, for days, for what is not in memory."""
    asked = {
        "latest": (stand.api.url + LATEST, Question(TICKERS)),
        "a day": (stand.api.url + PERIOD, day_question(stand)),
        "any stretch": (stand.api.url + PERIOD, any_question(stand)),
        "the bare function": (stand.bare.url + "/?{ticker}", Question(TICKERS)),
    }
    seconds = stand.scale.seconds * LASTING
    for connections in CROWDS:
        for name, (url, question) in asked.items():
            seen = load.ask(url, question, seconds, connections)
            yield Result(
                f"{name}, {connections} connections: errors",
                seen.errors,
                "",
                f"{rate(seen.per_second)}, p99 {seen.p99_ms:,.1f} ms",
                at_most=0,
            )
