"""The connection to a real PostgreSQL."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.errors import DatabaseFull, DatabaseUnavailable, SchemaOutdated, SettingsError
from app.postgres import database as database_module
from app.postgres.database import Database
from tests.conftest import Servers
from tests.postgres.restartable_servers import RestartableServer, restartable_postgres
from tests.processes import PROJECT
from tests.waiting import until

INSERT = text("INSERT INTO prices VALUES ('deribit', 'btc_usd', 60, 1.5, 0, 'live')")
COUNT = "SELECT count(*) FROM prices"
BACKENDS = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name = $1"
)
LOCK_HOLDER_PROGRAM = """
import asyncio, sys
from app.postgres import database as module

module.IDLE_TIMEOUT_SECONDS = 0.6

async def main():
    database = module.Database(sys.argv[1], pool_size=1)
    async with database.try_lock("turn") as held:
        print("held" if held else "refused", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def _raise_after(
    opened: AbstractAsyncContextManager[AsyncSession], statement: TextClause
) -> None:
    async with opened as session:
        await session.execute(statement)
        raise ZeroDivisionError


async def test_transaction_that_raises_rolls_back(
    database: Database, sql: asyncpg.Connection
) -> None:
    with pytest.raises(ZeroDivisionError):
        await _raise_after(database.transaction(), INSERT)
    assert await sql.fetchval(COUNT) == 0


async def test_committed_transaction_is_seen_by_another_connection(
    database: Database, sql: asyncpg.Connection
) -> None:
    """Elsewhere a SELECT came first, the commit did nothing, and all tests passed."""
    async with database.transaction() as session:
        assert await session.scalar(text(COUNT)) == 0
        await session.execute(INSERT)
        assert await sql.fetchval(COUNT) == 0
    assert await sql.fetchval(COUNT) == 1


async def test_reading_leaves_no_transaction_open(
    database: Database, sql: asyncpg.Connection
) -> None:
    async with database.read_committed() as session:
        await session.scalar(text(COUNT))
    with pytest.raises(ZeroDivisionError):
        await _raise_after(database.read_committed(), text(COUNT))
    states = await sql.fetch(
        "SELECT state, backend_xmin FROM pg_stat_activity WHERE application_name = 'prices'"
        " AND datname = current_database()"
    )
    assert [tuple(row) for row in states] == [("idle", None)]


async def test_pool_never_exceeds_its_size(database: Database, sql: asyncpg.Connection) -> None:
    async def read() -> int:
        async with database.read_committed() as session:
            await session.execute(text("SELECT pg_sleep(0.01)"))
            return int(await count_backends())

    sql_lock = asyncio.Lock()

    async def count_backends() -> int:
        async with sql_lock:
            return int(await sql.fetchval(BACKENDS, "prices"))

    counts = await asyncio.gather(*(read() for _ in range(40)))
    assert max(counts) == 5


async def test_exhausted_pool_is_said_in_bounded_time(
    servers: Servers, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "POOL_TIMEOUT_SECONDS", 0.1)
    database = Database(servers.database_url(database_name), pool_size=1)
    async with database.read_committed() as session:
        await session.execute(text("SELECT 1"))
        with pytest.raises(DatabaseUnavailable, match="in use"):
            async with database.read_committed() as second:
                await second.execute(text("SELECT 1"))
    async with database.read_committed() as session:
        assert await session.scalar(text("SELECT 1")) == 1
    await database.close()


async def test_lock_has_one_holder_at_a_time(database: Database) -> None:
    async with database.try_lock("turn") as first, database.try_lock("turn") as second:
        assert (first, second) == (True, False)
        async with database.try_lock("another") as other:
            assert other
    async with database.try_lock("turn") as again:
        assert again


async def test_lock_is_free_after_an_error_in_its_block(database: Database) -> None:
    for error in (ZeroDivisionError, TimeoutError):
        with pytest.raises(error):  # the block's errors are its own, even those that PostgreSQL has
            async with database.try_lock("turn"):
                raise error
    async with database.try_lock("turn") as is_held:
        assert is_held


async def test_connection_that_held_a_lock_is_as_before(
    servers: Servers, database_name: str
) -> None:
    database = Database(servers.database_url(database_name), pool_size=1)
    async with database.try_lock("turn"):
        pass
    async with database.transaction() as session:
        assert await session.scalar(text("SHOW idle_session_timeout")) == "0"
        locks = (
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        )
        assert await session.scalar(text(locks)) == 0
        await session.execute(INSERT)
    await database.close()


async def test_lock_is_kept_by_signs_of_life_and_lost_with_the_connection(
    servers: Servers,
    database_name: str,
    database: Database,
    sql: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database_module, "IDLE_TIMEOUT_SECONDS", 0.3)
    url = servers.database_url(database_name)
    holder = Database(url, pool_size=1, application_name="holder")
    started = "SELECT state_change FROM pg_stat_activity WHERE application_name = 'holder'"
    async with holder.try_lock("turn") as is_held:
        assert is_held
        seen: set[object] = set()

        async def was_kept_alive() -> bool:
            seen.add(await sql.fetchval(started))
            return len(seen) >= 8  # longer than the lock may be idle

        await until(was_kept_alive)
        async with database.try_lock("turn") as second:
            assert not second
        await sql.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'holder'"
        )

        async def is_free() -> bool:
            async with database.try_lock("turn") as is_taken:
                return is_taken

        await until(is_free)
    async with holder.try_lock("turn") as again:
        assert again
    await holder.close()


async def test_holder_that_was_cut_off_loses_the_lock(
    servers: Servers, database_name: str, database: Database
) -> None:
    holder = subprocess.Popen(  # noqa: ASYNC220, S603  # our own program
        [sys.executable, "-c", LOCK_HOLDER_PROGRAM, servers.database_url(database_name)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        assert await asyncio.to_thread(holder.stdout.readline) == b"held\n"
        async with database.try_lock("turn") as is_taken:
            assert not is_taken
        holder.send_signal(signal.SIGSTOP)

        async def is_free() -> bool:
            async with database.try_lock("turn") as is_taken:
                return is_taken

        await until(is_free)
    finally:
        holder.kill()
        holder.communicate()


STATES: dict[str, type[Exception]] = {
    "53100": DatabaseFull,
    "53300": DatabaseUnavailable,  # too many connections
    "57P01": DatabaseUnavailable,  # shutdown
    "08006": DatabaseUnavailable,  # connection failure
    "25006": DatabaseUnavailable,  # read-only: a standby that is no master yet
    "42P01": SchemaOutdated,  # no such table
    "42703": SchemaOutdated,  # no such column
    "22012": DBAPIError,  # a defect stays one
}


async def test_states_of_the_server_have_names(database: Database) -> None:
    for state, error in STATES.items():
        raise_statement = text(f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{state}'; END $$")
        with pytest.raises(error):
            async with database.transaction() as session:
                await session.execute(raise_statement)


async def test_servers_that_can_not_be_reached_are_away(servers: Servers, tmp_path: Path) -> None:
    good = servers.database_url("prices")
    for url in (
        "postgresql+asyncpg://user@127.0.0.1:1/prices",
        f"postgresql+asyncpg://user@/prices?host={tmp_path}",
        "postgresql+asyncpg://user@no-such-host.invalid/prices",
        servers.database_url("no_such_database"),
        good.replace("postgres@", "no_such_user@"),
    ):
        database = Database(url, pool_size=1)
        with pytest.raises(DatabaseUnavailable) as caught:
            await database.schema_revision()
        assert "user" not in str(caught.value)
        with pytest.raises(DatabaseUnavailable):
            async with database.try_lock("turn"):
                pytest.fail("there is nothing to lock")
        await database.close()


async def test_wrong_password_is_away(tmp_path: Path) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        fields = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed\0\0"
        writer.write(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(refuse, tmp_path / ".s.PGSQL.5432")
    async with server:
        database = Database(f"postgresql+asyncpg://a:hush@/b?host={tmp_path}", pool_size=1)
        with pytest.raises(DatabaseUnavailable, match="InvalidPassword") as caught:
            await database.schema_revision()
        assert "hush" not in str(caught.value)
        await database.close()


def test_url_that_makes_no_sense_is_a_settings_error() -> None:
    for url in (
        "postgresql+asyncpg://a:hush@host:port/b",
        "postgresql+asyncpg://[::1/b",
        "nope",
    ):
        with pytest.raises(SettingsError, match="DATABASE_URL") as caught:
            Database(url, pool_size=1)
        assert "hush" not in str(caught.value)


@pytest.fixture
async def restartable_server(
    directory: Path, database_name: str
) -> AsyncIterator[RestartableServer]:
    folder = directory / f"private-{database_name}"
    folder.mkdir(mode=0o755)
    async with restartable_postgres(folder) as server:
        yield server


async def test_restart_is_survived(restartable_server: RestartableServer) -> None:
    database = Database(restartable_server.url, pool_size=3)

    async def select_one() -> object:
        async with database.read_committed() as session:
            return await session.scalar(text("SELECT 1"))

    async def endless() -> None:
        async with database.read_committed() as session:
            await session.execute(text("SELECT pg_sleep(60)"))

    assert set(await asyncio.gather(select_one(), select_one(), select_one())) == {1}
    query = asyncio.create_task(endless())
    watcher = await asyncpg.connect(restartable_server.url.replace("+asyncpg", ""))
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    await until(lambda: watcher.fetchval(sleeping))
    watcher.terminate()
    async with database.try_lock("turn") as is_held:
        assert is_held
        await restartable_server.stop()
        with pytest.raises(DatabaseUnavailable):
            await query
        with pytest.raises(DatabaseUnavailable):
            await select_one()
        await restartable_server.start()
    assert set(await asyncio.gather(select_one(), select_one(), select_one())) == {1}
    async with database.try_lock("turn") as is_held:
        assert is_held
    await database.close()


TOO_LARGE = 10**30


async def test_read_whose_value_can_not_be_sent_leaves_no_transaction_open(
    servers: Servers, database_name: str
) -> None:
    """asyncpg prepares a statement in a transaction that only its execution ends."""
    async with one_connection(servers, database_name) as database:
        for _ in range(2):
            with pytest.raises((DBAPIError, asyncpg.DataError)):
                async with database.read_committed() as session:
                    await session.execute(text("SELECT CAST(:a AS bigint)"), {"a": TOO_LARGE})
            await read_in_one_snapshot(database)
            with pytest.raises(asyncpg.DataError):
                async with database.raw_connection() as connection:
                    await connection.fetch("SELECT $1::bigint", TOO_LARGE)
            await read_in_one_snapshot(database)


async def test_read_that_is_cancelled_between_its_steps_leaves_no_transaction_open(
    servers: Servers, database_name: str
) -> None:
    async with one_connection(servers, database_name) as database:
        with pytest.raises(asyncio.CancelledError):
            await prepare_and_be_cancelled(database)
        await read_in_one_snapshot(database)


async def prepare_and_be_cancelled(database: Database) -> None:
    async with database.raw_connection() as connection:
        await connection.prepare("SELECT count(*) FROM prices")  # type: ignore[attr-defined]  # asyncpg's
        raise asyncio.CancelledError


@asynccontextmanager
async def one_connection(servers: Servers, name: str) -> AsyncIterator[Database]:
    """Open a database whose first connection everybody gets in turn."""
    database = Database(servers.database_url(name), pool_size=1)
    yield database
    await database.close()


async def read_in_one_snapshot(database: Database) -> None:
    async with database.repeatable_read() as session:
        assert await session.scalar(text("SELECT count(*) FROM prices")) == 0


async def test_silent_transaction_is_ended_with_its_locks(
    servers: Servers,
    database_name: str,
    sql: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As of a host that lost its network: nothing would tell the server for hours."""
    monkeypatch.setattr(database_module, "IDLE_TIMEOUT_SECONDS", 0.3)
    database = Database(servers.database_url(database_name), pool_size=1)

    async def insert_silently() -> None:
        async with database.transaction() as session:
            await session.execute(INSERT)
            waiting = asyncio.create_task(sql.execute("TRUNCATE prices"))
            await asyncio.wait([waiting], timeout=20)
            assert waiting.done(), "the silent transaction still has its lock"
            await session.execute(INSERT)

    with pytest.raises(DatabaseUnavailable):
        await insert_silently()
    await database.close()
