"""Imports at a real size: whole, quick, once, and in bounded memory."""

import asyncio
import gzip
import io
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest

from app.core.settings import Settings
from app.domain.imports import ImportRequest, ImportResult
from app.postgres.database import Database
from app.services.imports import ImportService
from tests.acceptance.test_gaps import RECORDINGS_DIR
from tests.processes import Processes

pytestmark = pytest.mark.accept

ROWS = 505_209
ROUNDS = 6
YEAR = RECORDINGS_DIR / "btc_usd_1m_2017_bitfinex.csv.gz"
REQUEST = ImportRequest(None, "btc_usd", 60)
MEGABYTE = 2**20
FIRST = 1_500_000_000
"""Seconds of July 2017; eight digits would be a date where they make one."""


def _copy_input() -> bytes:
    """Return the rows of the year as input for COPY."""
    lines = gzip.decompress(YEAR.read_bytes()).decode().splitlines()[1:]
    rows = (line.split(",") for line in lines)
    return "".join(
        f"deribit,btc_usd,{stamp},{price},{stamp}000000,import\n" for stamp, price in rows
    ).encode()


async def _copy(sql: asyncpg.Connection, rows: bytes) -> None:
    columns = ["exchange", "ticker", "timestamp", "price", "observed_us", "source"]
    await sql.copy_to_table("prices", source=io.BytesIO(rows), columns=columns, format="csv")


async def _load(database: Database, path: Path) -> ImportResult:
    return await ImportService(database).load(path, REQUEST, lambda _: None)


async def _peak_memory(process: psutil.Process) -> int:
    """Give the most memory that a process had until it ended."""
    peak = 0
    while process.status() != psutil.STATUS_ZOMBIE:  # its parent has not asked for it yet
        peak = max(peak, process.memory_info().rss)
        await asyncio.sleep(0.02)
    return peak


@pytest.mark.skipif(not YEAR.exists(), reason="the recorded year is too large to ship")
async def test_a_real_year_is_imported_nearly_as_fast_as_copied(
    database: Database, sql: asyncpg.Connection, record_property: Callable[[str, object], None]
) -> None:
    rows = _copy_input()
    copying, loading = [], []
    for _ in range(ROUNDS):
        await sql.execute("TRUNCATE prices, recordings")
        start = time.perf_counter()
        await _copy(sql, rows)
        copying.append(time.perf_counter() - start)
        await sql.execute("TRUNCATE prices, recordings")
        start = time.perf_counter()
        imported = await _load(database, YEAR)
        loading.append(time.perf_counter() - start)
        assert (imported.read, imported.added, imported.bad) == (ROWS, ROWS, 0)
    copied, loaded = min(copying), min(loading)  # the quickest, for others use this machine too
    record_property("import / COPY", f"{copied / loaded:.2f}")
    assert copied / loaded >= 0.35, f"{copied:.2f} s copied, {loaded:.2f} s imported"

    again = await _load(database, YEAR)
    assert (again.read, again.added, again.already_stored) == (ROWS, 0, ROWS)
    assert again.promised == []


async def test_memory_stays_bounded_whatever_the_size(
    settings: Settings, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    """Three million rows take little more than a hundred thousand."""
    peaks = []
    for number, rows in enumerate((100_000, 3_000_000)):
        path = tmp_path / f"{rows}.csv"
        with path.open("w") as file:
            file.write("timestamp,price\n")
            file.writelines(
                f"{FIRST + 60 * minute},{50000 + minute % 997}.5\n" for minute in range(rows)
            )
        with Processes(settings, tmp_path) as processes:
            process = processes.start("app", "import", str(path), "--ticker", f"t{number}")
            peaks.append(await _peak_memory(psutil.Process(process.popen.pid)))
            assert process.popen.wait() == 0, process.output
    assert await sql.fetchval("SELECT count(*) FROM prices") == 3_100_000
    assert peaks[1] - peaks[0] < 50 * MEGABYTE
