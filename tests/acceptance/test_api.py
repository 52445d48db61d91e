"""The API under fire: fuzzed by its own document, loaded by 120 clients, its servers taken away."""

import asyncio
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import aiohttp
import asyncpg
import pytest
from pydantic import SecretStr

from app.core.settings import Settings
from tests.postgres.restartable_servers import RestartableServer, restartable_postgres
from tests.processes import PROJECT, Processes
from tests.waiting import until

pytestmark = pytest.mark.accept

ROWS = 50_000
CLIENTS = 120
SECONDS = 30
READS = (
    "/api/v1/prices?ticker=btc_usd",
    "/api/v1/prices?ticker=btc_usd&limit=10000",
    "/api/v1/prices?ticker=eth_usd&order=desc&limit=100",
    "/api/v1/prices/latest?ticker=btc_usd",
    "/api/v1/prices/history?ticker=eth_usd",
    "/api/v1/prices/period?ticker=btc_usd&from_dt=1700000000&to_dt=1700086400",
    "/api/v1/prices/filter?ticker=btc_usd&from_dt=2023-11-15",
    "/api/v1/prices/at?ticker=btc_usd&timestamp=1700001234",
    "/api/v1/tickers",
    "/api/v1/tasks/00000000-0000-0000-0000-000000000000",
    "/health/live",
    "/health/ready",
    "/metrics",
    "/openapi.json",
)
MISSING = {"/api/v1/tasks/00000000-0000-0000-0000-000000000000": 404}


async def fill(connection: asyncpg.Connection) -> None:
    """Store a month of two tickers, and a newest price that stays fresh for the whole run."""
    await connection.execute(
        f"""
        INSERT INTO prices (exchange, ticker, timestamp, price, observed_us, source)
        SELECT 'deribit', ticker, 1700000000 / 60 * 60 + 60 * n, 95000 + n * 0.01,
               (1700000000 / 60 * 60 + 60 * n) * 1000000::bigint, 'live'
        FROM generate_series(1, {ROWS}) AS n, unnest(ARRAY['btc_usd', 'eth_usd']) AS ticker
        UNION ALL
        SELECT 'deribit', ticker, floor(extract(epoch FROM now()) / 60) * 60 + 3600, 95000,
               extract(epoch FROM now()) * 1000000, 'live'
        FROM unnest(ARRAY['btc_usd', 'eth_usd']) AS ticker
        """  # noqa: S608  # a constant
    )
    await connection.execute("ANALYZE prices")


@pytest.fixture
async def url(
    settings: Settings, sql: asyncpg.Connection, tmp_path: Path, unused_tcp_port: int
) -> AsyncIterator[str]:
    """A filled API in a process of its own, with default settings."""
    await fill(sql)
    with Processes(settings, tmp_path) as processes:
        processes.start("app", "api", env={"API_PORT": str(unused_tcp_port)})
        address = f"http://127.0.0.1:{unused_tcp_port}"
        await until(lambda: is_answering(address), 40)
        yield address


async def is_answering(url: str) -> bool:
    async with aiohttp.ClientSession() as session:
        try:
            async with session.get(f"{url}/health/ready") as response:
                return response.status == 200
        except aiohttp.ClientConnectionError:
            return False


async def test_api_keeps_its_own_document_in_thousands_of_cases(
    url: str, record_property: Callable[[str, object], None]
) -> None:
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"),
        *("--checks", "all", "--max-examples", "200", "--seed", "1", "--no-color"),
        *("--header", "X-API-Key: right-key", "--continue-on-failure"),
        *("--exclude-path", "/api/v1/prices/stream"),  # it has no end
    ]
    fuzz = await asyncio.to_thread(
        subprocess.run,
        command,
        cwd=PROJECT,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.acceptance.fuzzing"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert fuzz.returncode == 0, fuzz.stdout[-6000:] + fuzz.stderr[-2000:]
    found = re.search(r"(\d+) generated", fuzz.stdout)
    assert found is not None
    assert int(found[1]) >= 2000
    record_property("cases", found[1])


async def test_120_clients_on_every_read_route_fail_in_nothing(
    url: str, record_property: Callable[[str, object], None]
) -> None:
    responses: Counter[tuple[str, int]] = Counter()
    failures: list[str] = []
    deadline = asyncio.get_running_loop().time() + SECONDS

    async def client(session: aiohttp.ClientSession, number: int) -> None:
        paths = cycle(READS[number % len(READS) :] + READS[: number % len(READS)])
        while asyncio.get_running_loop().time() < deadline:
            path = next(paths)
            try:
                async with session.get(url + path) as response:
                    await response.read()
                    responses[path, response.status] += 1
            except (aiohttp.ClientError, TimeoutError) as error:
                failures.append(f"{path}: {error!r}")

    connector = aiohttp.TCPConnector(limit=CLIENTS)
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(client(session, number) for number in range(CLIENTS)))
    assert failures == []
    assert {key for key in responses if key[1] != MISSING.get(key[0], 200)} == set()
    assert {path for path, _ in responses} == set(READS)
    record_property("requests", responses.total())


@pytest.fixture
async def postgres(directory: Path) -> AsyncIterator[RestartableServer]:
    folder = directory / "under-fire"
    folder.mkdir(mode=0o755)
    async with restartable_postgres(folder) as server:
        yield server


@dataclass
class Readers:
    """Clients that read continuously, with the statuses that they received."""

    url: str
    statuses: Counter[int] = field(default_factory=Counter)
    slowest_seconds: float = 0.0

    @asynccontextmanager
    async def running(self, number: int) -> AsyncIterator[None]:
        """Read with this many clients while the context lasts."""
        async with aiohttp.ClientSession() as session:
            clients = [asyncio.create_task(self._read(session)) for _ in range(number)]
            yield
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)

    async def _read(self, session: aiohttp.ClientSession) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            async with session.get(self.url) as response:
                await response.read()
            self.statuses[response.status] += 1
            self.slowest_seconds = max(self.slowest_seconds, clock() - began)

    async def wait_for_status(self, status: int) -> None:
        """Wait until 100 more answers with a status arrived."""
        wanted_count = self.statuses[status] + 100
        await until(lambda: asyncio.sleep(0, self.statuses[status] >= wanted_count), 40)


async def test_database_away_under_load_is_a_503_at_once_and_heals_by_itself(
    settings: Settings, postgres: RestartableServer, tmp_path: Path, unused_tcp_port: int
) -> None:
    own_settings = settings.model_copy(
        update={"database_url": SecretStr(postgres.url), "api_port": unused_tcp_port}
    )
    url = f"http://127.0.0.1:{unused_tcp_port}"
    readers = Readers(f"{url}/api/v1/prices?ticker=btc_usd&limit=100")
    with Processes(own_settings, tmp_path) as processes:
        assert await asyncio.to_thread(processes.start("app", "migrate").popen.wait, 30) == 0
        processes.start("app", "api")
        await until(lambda: is_answering(url), 40)
        async with readers.running(20):
            await readers.wait_for_status(200)
            await postgres.stop()
            await readers.wait_for_status(503)
            await postgres.start()
            await readers.wait_for_status(200)
            readers.statuses.clear()
            await readers.wait_for_status(200)
    assert set(readers.statuses) == {200}
    assert readers.slowest_seconds < 5
