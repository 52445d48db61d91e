"""Rows: a walk of prices, one a minute up to now, the same in every server."""

import json
import urllib.request
from collections.abc import Iterator
from itertools import islice

from benchmarks.database import Sql
from benchmarks.scale import MINUTE

BLOCK_ROWS = 1_000_000
LINE_POINTS = 10_000

# Through the table's triggers, as everything that writes; the random part is the same each time.
_FILL = """
SELECT setseed(0.{seed});
INSERT INTO prices (exchange, ticker, timestamp, price, observed_us, source)
SELECT 'deribit', '{ticker}', slot,
       round((50000 + 9000 * sin(slot / 864000.0) + 250 * random())::numeric, 2),
       slot * 1000000 + 10000000, 'live'
FROM generate_series({first}::bigint, {last}, 60) AS slot
"""
_PROMISE = """
INSERT INTO recordings (exchange, ticker, first_slot, interval_seconds)
VALUES ('deribit', '{ticker}', {first}, 60)
"""
_SERIES = """
COPY (SELECT timestamp, price FROM prices
      WHERE exchange = 'deribit' AND ticker = '{ticker}' ORDER BY timestamp) TO STDOUT CSV
"""


def fill(sql: Sql, ticker: str, newest: int, rows: int) -> None:
    """Store so many minutes of a ticker, the last one being the newest."""
    first = newest - (rows - 1) * MINUTE
    sql.ask(_PROMISE.format(ticker=ticker, first=first))
    step = BLOCK_ROWS * MINUTE
    for seed, start in enumerate(range(first, newest + 1, step), 100):
        last = min(start + step - MINUTE, newest)
        sql.ask(_FILL.format(seed=seed, ticker=ticker, first=start, last=last))


def settle(sql: Sql) -> None:
    """Leave the database as it is after a quiet night."""
    sql.ask("VACUUM (ANALYZE) prices", "VACUUM (ANALYZE) price_hours", "CHECKPOINT")


def copy_to_victoria(sql: Sql, url: str, ticker: str) -> None:
    """Give VictoriaMetrics the rows of a ticker."""
    lines = iter(sql.ask(_SERIES.format(ticker=ticker)).splitlines())
    for body in _series(ticker, lines):
        _post(f"{url}/api/v1/import", body)
    _post(f"{url}/internal/force_flush", b"")


def _series(ticker: str, lines: Iterator[str]) -> Iterator[bytes]:
    while points := [line.split(",") for line in islice(lines, LINE_POINTS)]:
        timestamps = ",".join(f"{stamp}000" for stamp, _ in points)
        values = ",".join(price for _, price in points)
        metric = json.dumps({"__name__": "price", "ticker": ticker})
        yield f'{{"metric":{metric},"values":[{values}],"timestamps":[{timestamps}]}}'.encode()


def _post(url: str, body: bytes) -> None:
    with urllib.request.urlopen(urllib.request.Request(url, body)) as answer:
        answer.read()
