"""Exports at a real size: as fast as psql nearly, and in constant memory."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest

from app.core.settings import Settings
from tests.acceptance.test_api import is_answering
from tests.acceptance.test_gaps import FILL, MILLION, START
from tests.api.test_outages import free_port
from tests.conftest import Servers
from tests.processes import Processes
from tests.waiting import until

pytestmark = pytest.mark.accept

ROUNDS = 15
MEGABYTE = 2**20
QUERY = (
    "SELECT exchange, ticker, timestamp, price, source FROM prices"
    " WHERE exchange = 'deribit' AND ticker = 'btc_usd' ORDER BY timestamp"
)


@pytest.fixture
async def exporting_api(
    settings: Settings, sql: asyncpg.Connection, tmp_path: Path
) -> AsyncIterator[tuple[str, psutil.Process]]:
    """An API with a million rows, in a process of its own."""
    await sql.execute(FILL, START, MILLION)
    await sql.execute("VACUUM ANALYZE prices")
    port = free_port()
    with Processes(settings.model_copy(update={"api_port": port}), tmp_path) as processes:
        process = processes.start("app", "api")
        await until(lambda: is_answering(f"http://127.0.0.1:{port}"), 40)
        url = f"http://127.0.0.1:{port}/api/v1/prices/export?ticker=btc_usd&format="
        yield url, psutil.Process(process.popen.pid)


async def _run(*command: str) -> bytes:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output


async def _seconds(work: Callable[[], Awaitable[object]]) -> float:
    start = time.perf_counter()
    await work()
    return time.perf_counter() - start


async def _peak_memory_during(process: psutil.Process, work: Awaitable[object]) -> int:
    """Give the most memory that a process had while something was done."""
    running_work, peak = asyncio.ensure_future(work), 0
    while not running_work.done():
        peak = max(peak, process.memory_info().rss)
        await asyncio.sleep(0.01)
    await running_work
    return peak


async def test_a_million_rows_leave_nearly_as_fast_as_psql_copies_them(
    exporting_api: tuple[str, psutil.Process],
    servers: Servers,
    database_name: str,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    url, api = exporting_api
    ours, theirs = tmp_path / "ours.csv", tmp_path / "theirs.csv"
    copy = f"\\copy ({QUERY}) TO '{theirs}' CSV HEADER"
    psql = ("psql", servers.plain_url(database_name), "-qc", copy)
    curl = ("curl", "-sSf", "-o", str(ours), f"{url}csv")
    await _run(*curl[:-1], f"{url}csv&to_dt={START + 6000}")
    before = api.memory_info().rss
    growth = await _peak_memory_during(api, _run(*curl)) - before
    copying, exporting = [], []
    for _ in range(ROUNDS):
        copying.append(await _seconds(lambda: _run(*psql)))
        exporting.append(await _seconds(lambda: _run(*curl)))
    assert ours.read_bytes() == theirs.read_bytes()
    copied, exported = min(copying), min(exporting)  # the quickest, for others use it too
    record_property("export / psql", f"{copied / exported:.2f}")
    record_property("MB more", round(growth / MEGABYTE))
    assert copied / exported >= 0.7, f"{copied:.2f} s by psql, {exported:.2f} s by curl"
    assert growth < 50 * MEGABYTE


@pytest.mark.parametrize("kind", ["ndjson", "parquet", "csv"])
async def test_memory_is_constant(
    exporting_api: tuple[str, psutil.Process],
    tmp_path: Path,
    kind: str,
    record_property: Callable[[str, object], None],
) -> None:
    """A hundred thousand rows come first, for what only the first export loads."""
    url, api = exporting_api
    command = ["curl", "-sSf", "--compressed", "-o", str(tmp_path / "out")]
    await _run(*command, f"{url}{kind}&to_dt={START + 6_000_000}")
    before = api.memory_info().rss
    growth = await _peak_memory_during(api, _run(*command, f"{url}{kind}")) - before
    record_property("MB more", round(growth / MEGABYTE))
    assert growth < 50 * MEGABYTE


async def test_first_bytes_come_early(exporting_api: tuple[str, psutil.Process]) -> None:
    url, _ = exporting_api
    for kind in ("csv", "ndjson"):
        timing = "%{time_starttransfer} %{time_total}"
        first, whole = (
            await _run("curl", "-sSf", "-o", "/dev/null", "-w", timing, url + kind)
        ).split()
        assert float(first) < 0.3 * float(whole)
