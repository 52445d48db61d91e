"""Imports: a real year of minutes from a file, beside COPY into the same table."""

import csv
import gzip
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from benchmarks import load
from benchmarks.database import Sql
from benchmarks.environment import Environment
from benchmarks.processes import python, run
from benchmarks.results import RATIO, Result, seconds
from benchmarks.scale import MINUTE

RECORDED: Final = (
    Path(__file__).resolve().parents[2] / "shared/recording/btc_usd_1m_2017_bitfinex.csv.gz"
)
ROWS_OF_2017: Final = 505_209
START_OF_2017: Final = 1_483_228_800
DATABASE: Final = "imports"
_COLUMNS: Final = "(exchange, ticker, timestamp, price, observed_us, source)"
_PLAIN: Final = "CREATE TABLE plain (LIKE prices INCLUDING ALL)"


def measure(environment: Environment) -> Iterator[Result]:
    """Import a year into an empty record, and once more into the full one."""
    environment.sql.ask(f"CREATE DATABASE {DATABASE}")
    sql = environment.sql.named(DATABASE)
    sql.migrate(environment.directory)
    sql.ask(_PLAIN)
    file, rows = environment.directory / "year.csv", environment.directory / "year-rows.csv"
    count = _write_files(file, rows)
    taken = load.medians(
        environment.scale,
        {
            "copy": lambda: _copy(sql, "prices", rows),
            "plain": lambda: _copy(sql, "plain", rows),
            "ours": lambda: _import_anew(environment, sql, file),
        },
    )
    detail = f"{count:,} rows in {seconds(taken['ours'])}, COPY in {seconds(taken['copy'])}"
    yield Result(
        "import of a year, of COPY into the table",
        taken["copy"] / taken["ours"],
        RATIO,
        detail,
        at_least=0.35,
    )
    yield Result(
        "import of a year, of COPY without its triggers",
        taken["plain"] / taken["ours"],
        RATIO,
        f"COPY in {seconds(taken['plain'])}",
    )
    yield Result("rows a second import adds", _import(environment, sql, file), "", at_most=0)


def _import_anew(environment: Environment, sql: Sql, file: Path) -> float:
    sql.ask("TRUNCATE prices, recordings", "CHECKPOINT")
    start = time.perf_counter()
    _import(environment, sql, file)
    return time.perf_counter() - start


def _import(environment: Environment, sql: Sql, file: Path) -> int:
    """Run the command as a user does, and give how many rows it says that it added."""
    env = {"DATABASE_URL": sql.url, "REDIS_URL": environment.redis_url}
    said = run(*python("app", "import", "--ticker", "btc_usd", str(file)), env=env)
    return int(re.findall(r"(\d+) added", said)[-1])


def _copy(sql: Sql, table: str, rows: Path) -> float:
    sql.ask(f"TRUNCATE {table}", "CHECKPOINT")
    return sql.seconds(rf"\copy {table} {_COLUMNS} FROM '{rows}' CSV")


def _write_files(file: Path, rows: Path) -> int:
    """Write the year as users have it and as COPY takes it; give its length."""
    count = 0
    with file.open("w") as plain, rows.open("w") as whole:
        plain.write("timestamp,price\n")
        for stamp, price in _year():
            plain.write(f"{stamp},{price}\n")
            whole.write(f"deribit,btc_usd,{stamp},{price},{stamp}000000,import\n")
            count += 1
    return count


def _year() -> Iterable[tuple[str, str]]:
    """Give the real year where it is at hand (it is too large to ship), else one as long."""
    if not RECORDED.exists():
        stamps = range(START_OF_2017, START_OF_2017 + ROWS_OF_2017 * MINUTE, MINUTE)
        yield from ((str(stamp), f"{900 + stamp % 99_991 / 7:.2f}") for stamp in stamps)
        return
    with gzip.open(RECORDED, "rt") as lines:
        yield from ((line["timestamp_unix_s"], line["price"]) for line in csv.DictReader(lines))
