"""PostgreSQL restarts, goes away, and is cut off where it hurts."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import aiohttp
import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest

from tests.chaos.conftest import StartScenario
from tests.chaos.price_table import PriceTable
from tests.chaos.servers import running_server
from tests.chaos.stack import Stack, running_stack
from tests.processes import Processes
from tests.waiting import until

READERS = 8
MIN_ANSWERS = 200
TIMEOUT_SECONDS = 20
LOCK_SECONDS = 180
WRITE_LOCK_SECONDS = 75
"""Longer than a statement may take."""
READS = (
    "/health/collector",
    "/api/v1/prices/latest?ticker=btc_usd",
    "/api/v1/coverage?ticker=btc_usd",
    "/api/v1/prices/candles?ticker=btc_usd&interval=1m",
)
_CUT_OFF = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_WAITING_WRITER = """
    SELECT pid FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND query LIKE '%INSERT INTO prices%' AND backend_xid IS NOT NULL
"""


@asynccontextmanager
async def many_readers(url: str) -> AsyncIterator[None]:
    """Read from the API with many clients while the context lasts."""
    answers = 0

    async def read(session: aiohttp.ClientSession) -> None:
        nonlocal answers
        while True:
            async with session.get(url) as response:
                await response.read()
                answers += response.status == HTTPStatus.OK

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        readers = [group.create_task(read(session)) for _ in range(READERS)]
        await until(lambda: asyncio.sleep(0, answers > MIN_ANSWERS))
        yield
        answers = 0
        await until(lambda: asyncio.sleep(0, answers > MIN_ANSWERS))
        for reader in readers:
            reader.cancel()


@pytest.mark.chaos("PostgreSQL restarted under load", seconds=65)
async def test_postgres_restarted_under_load_costs_nothing_for_good(
    stack: Stack, processes: Processes, start_scenario: StartScenario
) -> None:
    port = processes.settings.api_port
    scenario = await start_scenario(stack)
    url = f"http://127.0.0.1:{port}/api/v1/prices?ticker=btc_usd"
    async with many_readers(url), scenario.fault():
        stack.child("postgres").send_signal(signal.SIGINT)
    await scenario.wait_for_recovery()


@pytest.mark.chaos("PostgreSQL gone for 20 s", seconds=75)
async def test_slots_lost_while_postgres_is_away_come_back(
    processes: Processes, data_dir: Path, start_scenario: StartScenario
) -> None:
    async with (
        running_server(data_dir, "DATABASE_URL") as postgres,
        running_stack(processes, DATABASE_URL=postgres.url) as stack,
    ):
        scenario = await start_scenario(stack)
        async with scenario.fault(reason="the database is away"):
            await postgres.restart_after_outage()
        assert (await scenario.wait_for_recovery()).lost


@pytest.mark.chaos("PostgreSQL cut off in mid-transaction", seconds=65)
async def test_a_transaction_that_is_cut_off_leaves_nothing_half_done(
    stack: Stack, start_scenario: StartScenario
) -> None:
    """The rows are written and their hour's summary waits, when the process behind it is killed."""
    scenario = await start_scenario(stack)
    price_table = PriceTable(stack.database_url)
    async with (
        price_table.connection() as holder,
        price_table.connection() as observer,
        scenario.fault(),
    ):
        await holder.execute("BEGIN; LOCK TABLE price_hours IN SHARE MODE")
        await until(lambda: observer.fetchval(_WAITING_WRITER))
        psutil.Process(await observer.fetchval(_WAITING_WRITER)).kill()
    await scenario.wait_for_recovery()


@asynccontextmanager
async def continuous_requests(port: int) -> AsyncIterator[list[dict[str, str]]]:
    """Send requests while the context lasts, none of which may fail; yield the health details."""
    check_details: list[dict[str, str]] = []

    async def ask(session: aiohttp.ClientSession, path: str) -> None:
        while True:
            async with session.get(f"http://127.0.0.1:{port}{path}") as response:
                assert response.status in {HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE}, path
                body = await response.json(content_type=None)
                if "checks" in body:
                    checks = body["checks"].items()
                    check_details.append({name: check["detail"] for name, check in checks})
            await asyncio.sleep(1)

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        clients = [group.create_task(ask(session, path)) for path in READS]
        yield check_details
        for task in clients:
            task.cancel()


@pytest.mark.chaos("PostgreSQL ends every statement for 20 s", seconds=80)
async def test_slots_lost_under_a_statement_timeout_come_back(
    stack: Stack, processes: Processes, start_scenario: StartScenario
) -> None:
    """Sessions that began under the timeout keep it until the service closes them."""
    scenario = await start_scenario(stack)
    async with (
        PriceTable(stack.database_url).connection() as operator,
        continuous_requests(processes.settings.api_port),
        scenario.fault(
            reason="the database (is away|gave no answer in time|ends what it is asked)"
        ),
    ):
        await operator.execute("ALTER DATABASE prices SET statement_timeout = 1")
        await operator.execute(_CUT_OFF)
        await asyncio.sleep(TIMEOUT_SECONDS)
        await operator.execute("ALTER DATABASE prices RESET statement_timeout")
    await scenario.wait_for_recovery()


@pytest.mark.chaos("prices locked for three minutes", seconds=240)
async def test_slots_lost_while_the_prices_are_locked_come_back(
    stack: Stack, processes: Processes, start_scenario: StartScenario
) -> None:
    scenario = await start_scenario(stack)
    async with (
        PriceTable(stack.database_url).connection() as holder,
        continuous_requests(processes.settings.api_port) as check_details,
        scenario.fault(reason="the database (gave no answer in time|ends what it is asked)"),
    ):
        await holder.execute("BEGIN; LOCK TABLE prices IN ACCESS EXCLUSIVE MODE")
        check_details.clear()
        await asyncio.sleep(LOCK_SECONDS)
        details_under_lock = check_details[1:]  # the first may have been asked before
        await holder.execute("ROLLBACK")
    assert len(details_under_lock) > LOCK_SECONDS / 10
    for checks in details_under_lock:
        assert "is unknown: the database" in checks["deribit:btc_usd"]
        assert "away" not in checks["deribit:btc_usd"], "it is there, and a table locked"
        assert checks["worker"].endswith("at work")
    assert (await scenario.wait_for_recovery()).lost


@pytest.mark.chaos("writes of prices locked for 75 s", seconds=135)
async def test_slots_lost_while_only_writes_are_locked_come_back(
    stack: Stack, start_scenario: StartScenario
) -> None:
    """As `CREATE INDEX` locks them: every read is as fast as ever."""
    scenario = await start_scenario(stack)
    async with (
        PriceTable(stack.database_url).connection() as holder,
        scenario.fault(reason=r"database_blocked \("),
    ):
        await holder.execute("BEGIN; LOCK TABLE prices IN SHARE ROW EXCLUSIVE MODE")
        await asyncio.sleep(WRITE_LOCK_SECONDS)
        await holder.execute("ROLLBACK")
    await scenario.wait_for_recovery()
    assert "Hard time limit" not in stack.output
