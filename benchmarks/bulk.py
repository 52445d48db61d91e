"""Bulk: a ticker's whole history as CSV beside psql's COPY, and page after page as JSON."""

import json
import shutil
import time
import urllib.request
from collections.abc import Iterator
from typing import Final

from benchmarks import load
from benchmarks.environment import TICKERS, Environment, serving_api
from benchmarks.processes import Broken, Server
from benchmarks.results import RATIO, Result, middle, rate, seconds

PAGE_ITEMS: Final = 10_000
LAST_PAGE: Final = 100
PAGE_ROUNDS: Final = 9
MAX_GROWTH_MEGABYTES: Final = 50

_COPY: Final = (
    r"\copy (SELECT exchange, ticker, timestamp, price, source FROM prices"
    " WHERE exchange = 'deribit' AND ticker = '{ticker}' ORDER BY timestamp)"
    " TO '{file}' CSV HEADER"
)


def measure(environment: Environment) -> Iterator[Result]:
    """Export everything from a process that did nothing before, and page through everything."""
    with serving_api(environment.directory, "exporting", environment.env) as api:
        yield from _export(environment, api)
    yield from _pages(environment)


def _export(environment: Environment, api: Server) -> Iterator[Result]:
    ours, theirs = environment.directory / "ours.csv", environment.directory / "theirs.csv"
    ticker = TICKERS[0]
    url = f"{api.url}/api/v1/prices/export?ticker={ticker}&format=csv"
    copy = _COPY.format(ticker=ticker, file=theirs)
    _download(f"{url}&from_dt={environment.newest}", str(ours))  # what is imported at first use
    with api.watched() as megabytes:
        taken = load.medians(
            environment.scale,
            {
                "ours": lambda: _download(url, str(ours)),
                "psql": lambda: environment.sql.seconds(copy),
            },
        )
    if ours.read_bytes() != theirs.read_bytes():
        raise Broken("the export and psql's COPY differ")
    rows = environment.scale.rows
    detail = f"{rows:,} rows in {seconds(taken['ours'])}, psql COPY in {seconds(taken['psql'])}"
    yield Result(
        "export as CSV, of psql COPY", taken["psql"] / taken["ours"], RATIO, detail, at_least=0.7
    )
    yield Result(
        "memory that exports took",
        max(megabytes) - megabytes[0],
        "MB",
        f"{megabytes[0]:,.0f} MB before, {max(megabytes):,.0f} MB at most",
        at_most=MAX_GROWTH_MEGABYTES,
    )


def _download(url: str, path: str) -> float:
    start = time.perf_counter()
    with urllib.request.urlopen(url) as answer, open(path, "wb") as file:  # noqa: PTH123  # a server of ours
        shutil.copyfileobj(answer, file, 1 << 18)
    return time.perf_counter() - start


def _pages(environment: Environment) -> Iterator[Result]:
    path = f"/api/v1/prices?ticker={TICKERS[0]}&limit={PAGE_ITEMS}"
    first, last = environment.api.url + path, ""
    pages = min(LAST_PAGE, environment.scale.rows // PAGE_ITEMS)
    for _ in range(pages - 1):
        last = environment.api.url + _get(environment.api.url + path)[1]
        path = last.removeprefix(environment.api.url)
    taken: dict[str, list[float]] = {first: [], last: []}
    for _ in range(PAGE_ROUNDS):
        for url, times in taken.items():
            times.append(_get(url)[0])
    early, late = middle(taken[first]), middle(taken[last])
    yield Result(
        f"page {pages} of {PAGE_ITEMS:,}, of page 1's time",
        late / early,
        RATIO,
        f"{seconds(late)} to {seconds(early)}, {rate(PAGE_ITEMS / late)} rows",
        at_most=1.2,
    )


def _get(url: str) -> tuple[float, str]:
    """Give how long a page took, and where it leads on."""
    start = time.perf_counter()
    with urllib.request.urlopen(url) as answer:
        body = answer.read()
    taken = time.perf_counter() - start
    return taken, json.loads(body)["next"] or ""
