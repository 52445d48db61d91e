"""Load: wrk on its own core, asking at random for what a server keeps."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

from benchmarks.machine import rest
from benchmarks.processes import Broken, run
from benchmarks.results import middle
from benchmarks.scale import DAY_MINUTES, Scale

SCRIPT: Final = Path(__file__).with_name("wrk.lua")
CONNECTIONS: Final = 16
_seeds = count(1)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked at random: of which tickers, from which start on, how many minutes."""

    tickers: tuple[str, ...]
    first: int = 0
    starts: int = 1
    shortest: int = DAY_MINUTES
    longest: int = DAY_MINUTES

    @property
    def arguments(self) -> tuple[str, ...]:
        """Give it as the script takes it."""
        numbers = (self.first, self.starts, self.shortest, self.longest, next(_seeds))
        return (",".join(self.tickers), *map(str, numbers))


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw."""

    per_second: float
    megabytes_per_second: float
    p50_ms: float
    p99_ms: float
    errors: int


def ask(url: str, question: Question, seconds: float, connections: int = CONNECTIONS) -> Load:
    """Ask at full speed; the URL names `{ticker}`, `{from}` and `{to}`."""
    base, _, path = url.partition("//")[2].partition("/")
    command = ("wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "10s")
    said = run(*command, "-s", str(SCRIPT), f"http://{base}", "--", f"/{path}", *question.arguments)
    rest()  # or the answers that wrk left behind would burden who is asked next
    seen = json.loads(said.splitlines()[-1])
    lasted = seen["us"] / 1e6
    return Load(
        seen["requests"] / lasted,
        seen["bytes"] / lasted / 1e6,
        seen["p50_us"] / 1e3,
        seen["p99_us"] / 1e3,
        seen["errors"],
    )


def rates(scale: Scale, urls: Mapping[str, str], question: Question) -> dict[str, float]:
    """Ask several servers in turn, and give the median rate of each.

    Raises:
        Broken: a server failed to answer.
    """
    for url in urls.values():
        ask(url, question, scale.seconds)  # to warm up

    def measure(name: str) -> float:
        load = ask(urls[name], question, scale.seconds)
        if load.errors or not load.per_second:
            raise Broken(f"{name}: {load.errors} errors")
        return load.per_second

    return medians(scale, {name: partial(measure, name) for name in urls})


def medians(scale: Scale, works: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Measure side by side: each in every round, so that a noisy moment meets all."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(scale.rounds):
        for name, work in works.items():
            taken[name].append(work())
    return {name: middle(values) for name, values in taken.items()}
