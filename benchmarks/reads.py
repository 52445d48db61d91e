"""Reads: the newest price, a day, a stretch of any length; warm, cold, and beside the others."""

import json
import urllib.request
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from benchmarks import load
from benchmarks.environment import (
    BASELINE_LATEST,
    BASELINE_PERIOD,
    LATEST,
    NEWEST,
    PERIOD,
    TICKERS,
    VICTORIA_LATEST,
    VICTORIA_PERIOD,
    Environment,
)
from benchmarks.load import Question
from benchmarks.processes import Broken
from benchmarks.results import RATIO, Result, rate
from benchmarks.scale import DAY_MINUTES, MINUTE

DAYS: Final = 30
SHORTEST: Final = 60
PEERS_BASELINE: Final = {"latest": 1_080 / 31_900, "day": 44 / 31_900}
"""Of the bare function; measured with the same code elsewhere."""
STRAW: Final = 2.0
"""A baseline that is so many times slower than that is a straw man."""

_NEWEST_ROW: Final = r"""
\set n random(1, 2)
SELECT timestamp, price, source FROM prices
WHERE exchange = 'deribit' AND ticker = (ARRAY['btc_usd', 'eth_usd'])[:n]
ORDER BY timestamp DESC LIMIT 1;
"""
_DAY_ROWS: Final = r"""
\set start {first} + 60 * random(0, {starts} - 1)
SELECT timestamp, price, source FROM prices
WHERE exchange = 'deribit' AND ticker = 'btc_usd' AND timestamp BETWEEN :start AND :start + 86340
ORDER BY timestamp LIMIT 1440;
"""


def day_question(environment: Environment, days: int = DAYS) -> Question:
    """Ask for any day out of the last ones."""
    first = environment.days_back(days)
    return Question(TICKERS, first, _starts(environment, first))


def any_question(environment: Environment, shortest: int = SHORTEST) -> Question:
    """Ask for any stretch of everything stored."""
    return Question(TICKERS, environment.first, _starts(environment, environment.first), shortest)


def measure(environment: Environment) -> Iterator[Result]:
    """Measure every read."""
    require_same_answers(environment)
    yield from _latest(environment)
    yield from _day(environment)
    yield from _history(environment)
    yield from _stretch(environment)
    yield from _cold(environment)
    yield from _database(environment)


def require_same_answers(environment: Environment) -> None:
    """Make sure that a day is the same from every server.

    Raises:
        Broken: one of them tells another story.
    """
    span = {"ticker": TICKERS[0], "from": environment.first, "to": environment.first + 86_340}
    ours = [
        (item["timestamp"], item["price"])
        for item in _got(environment, "api", PERIOD, span)["items"]
    ]
    usual = _got(environment, "baseline", BASELINE_PERIOD, span)
    series = _got(environment, "victoria", VICTORIA_PERIOD, span)["data"]["result"][0]["values"]
    if len(ours) != DAY_MINUTES:
        raise Broken(f"a day has {len(ours)} rows")
    if ours != [(item["timestamp"], float(item["price"])) for item in usual]:
        raise Broken("the baseline answers something else")
    if ours != [(stamp, float(value)) for stamp, value in series]:
        raise Broken("VictoriaMetrics answers something else")


def _latest(environment: Environment) -> Iterator[Result]:
    urls = {
        "ours": environment.api.url + LATEST,
        "VictoriaMetrics": environment.victoria.url + VICTORIA_LATEST,
        "bare": environment.asgi_floor.url + "/?{ticker}",
        "baseline": environment.baseline.url + BASELINE_LATEST,
    }
    seen = load.rates(environment.scale, urls, Question(TICKERS, environment.newest))
    yield versus("latest, of VictoriaMetrics", seen, "VictoriaMetrics", 1.0)
    yield versus("latest, of the bare function", seen, "bare", 0.5)
    yield versus("latest, of the baseline", seen, "baseline", 10)
    yield _honest("latest", seen["baseline"], seen["bare"])


def _day(environment: Environment) -> Iterator[Result]:
    question = day_question(environment)
    urls = {
        "ours": environment.api.url + PERIOD,
        "VictoriaMetrics": environment.victoria.url + VICTORIA_PERIOD,
        "baseline": environment.baseline.url + BASELINE_PERIOD,
        "bare": environment.asgi_floor.url + "/?{ticker}",
    }
    seen = load.rates(environment.scale, urls, question)
    yield versus(f"a day of {DAYS}, of VictoriaMetrics", seen, "VictoriaMetrics", 1.0)
    yield versus(f"a day of {DAYS}, of the baseline", seen, "baseline", 30)
    yield _honest("day", seen["baseline"], seen["bare"])


def _history(environment: Environment) -> Iterator[Result]:
    """Ask for the newest thousand, beside a day, which is half as long again."""
    answers = {
        "ours": (environment.api.url + NEWEST, Question(TICKERS)),
        "a day": (environment.api.url + PERIOD, day_question(environment)),
    }

    def measure(name: str) -> float:
        return load.ask(*answers[name], environment.scale.seconds).per_second

    seen = load.medians(environment.scale, {name: partial(measure, name) for name in answers})
    yield versus(f"history of 1,000, of a day of {DAYS}", seen, "a day", 0.4)


def _stretch(environment: Environment) -> Iterator[Result]:
    """Ask for more than the memory holds: any start, any length, either ticker."""
    urls = {
        "ours": environment.api.url + PERIOD,
        "VictoriaMetrics": environment.victoria.url + VICTORIA_PERIOD,
        "baseline": environment.baseline.url + BASELINE_PERIOD,
    }
    seen = load.rates(environment.scale, urls, any_question(environment))
    yield versus("any stretch of all, of VictoriaMetrics", seen, "VictoriaMetrics", None)
    yield versus("any stretch of all, of the baseline", seen, "baseline", None)


def _cold(environment: Environment) -> Iterator[Result]:
    urls = {
        "ours": environment.cold.url + PERIOD,
        "baseline": environment.baseline.url + BASELINE_PERIOD,
    }
    seen = load.rates(environment.scale, urls, any_question(environment, DAY_MINUTES))
    yield versus("a cold day of all, of the baseline", seen, "baseline", 10)


def _database(environment: Environment) -> Iterator[Result]:
    """Ask PostgreSQL itself."""
    first = environment.days_back(DAYS)
    script = _DAY_ROWS.format(first=first, starts=_starts(environment, first))
    row = environment.sql.per_second(_NEWEST_ROW, environment.scale.seconds)
    day = environment.sql.per_second(script, environment.scale.seconds)
    yield Result("PostgreSQL alone: newest row", row, "/s", "pgbench, one client, prepared")
    yield Result("PostgreSQL alone: a day's rows", day, "/s", "pgbench, one client, prepared")


def versus(name: str, seen: dict[str, float], other: str, at_least: float | None) -> Result:
    """Compare our rate with another's."""
    detail = f"{rate(seen['ours'])} to {rate(seen[other])}"
    return Result(name, seen["ours"] / seen[other], RATIO, detail, at_least=at_least)


def _honest(what: str, baseline: float, bare: float) -> Result:
    """Compare the baseline with the one measured elsewhere: it must not be a straw man."""
    expected = PEERS_BASELINE[what]
    detail = f"baseline {baseline / bare:.4f} of the bare function, elsewhere {expected:.4f}"
    name = f"the baseline's {what}, of what it is elsewhere"
    return Result(name, baseline / bare / expected, RATIO, detail, at_least=1 / STRAW)


def _starts(environment: Environment, first: int) -> int:
    return (environment.newest - first) // MINUTE - DAY_MINUTES + 2


def _got(environment: Environment, server: str, template: str, span: dict[str, Any]) -> Any:  # noqa: ANN401  # JSON
    path = template
    for name, value in span.items():
        path = path.replace(f"{{{name}}}", str(value))
    with urllib.request.urlopen(getattr(environment, server).url + path) as answer:
        return json.load(answer)
