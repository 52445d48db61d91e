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

from tests.chaos.conftest import Begin
from tests.chaos.record import Record
from tests.chaos.servers import own_server
from tests.chaos.stack import Stack, running_stack
from tests.processes import Processes
from tests.waiting import until

READERS = 8
LEAST_ANSWERS = 200
_WAITING_WRITER = """
    SELECT pid FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND query LIKE '%INSERT INTO prices%' AND backend_xid IS NOT NULL
"""


@asynccontextmanager
async def read_by_many(url: str) -> AsyncIterator[None]:
    """Keep the database busy through the API while the context lasts."""
    answers = 0

    async def read(session: aiohttp.ClientSession) -> None:
        nonlocal answers
        while True:
            async with session.get(url) as response:
                await response.read()
                answers += response.status == HTTPStatus.OK

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        readers = [group.create_task(read(session)) for _ in range(READERS)]
        await until(lambda: asyncio.sleep(0, answers > LEAST_ANSWERS))
        yield
        answers = 0
        await until(lambda: asyncio.sleep(0, answers > LEAST_ANSWERS))
        for reader in readers:
            reader.cancel()


@pytest.mark.chaos("PostgreSQL restarted under load", seconds=65)
async def test_postgres_restarted_under_load_costs_nothing_for_good(
    stack: Stack, processes: Processes, begin: Begin
) -> None:
    port = processes.settings.api_port
    scenario = await begin(stack)
    url = f"http://127.0.0.1:{port}/api/v1/prices?ticker=btc_usd"
    async with read_by_many(url), scenario.fault():
        stack.child("postgres").send_signal(signal.SIGINT)
    await scenario.whole()


@pytest.mark.chaos("PostgreSQL gone for 20 s", seconds=75)
async def test_slots_lost_while_postgres_is_away_come_back(
    processes: Processes, home: Path, begin: Begin
) -> None:
    async with (
        own_server(home, "DATABASE_URL") as postgres,
        running_stack(processes, DATABASE_URL=postgres.url) as stack,
    ):
        scenario = await begin(stack)
        async with scenario.fault():
            await postgres.be_away()
        assert (await scenario.whole()).lost


@pytest.mark.chaos("PostgreSQL cut off in mid-transaction", seconds=65)
async def test_a_transaction_that_is_cut_off_leaves_nothing_half_done(
    stack: Stack, begin: Begin
) -> None:
    """The rows are written and their hour's summary waits, when the process behind it is killed."""
    scenario = await begin(stack)
    record = Record(stack.database_url)
    async with record.connection() as holder, record.connection() as watcher, scenario.fault():
        await holder.execute("BEGIN; LOCK TABLE price_hours IN SHARE MODE")
        await until(lambda: watcher.fetchval(_WAITING_WRITER))
        psutil.Process(await watcher.fetchval(_WAITING_WRITER)).kill()
    await scenario.whole()
