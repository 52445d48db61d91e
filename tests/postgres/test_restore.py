"""Backups by PostgreSQL's own programs, restored whole or in part; summaries that are upgraded."""
# ruff: noqa: S608  # a table's name is no parameter

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from app.core.settings import Settings
from app.domain.changed_slots import EVERYTHING
from app.domain.price_stream import Reset
from app.domain.prices import TickerKey
from app.embedded.postgres_cluster import bin_directory
from app.postgres.database import Database
from app.repositories import cache_invalidation, new_rows
from app.services.deletion import DeletionService
from tests.conftest import Servers
from tests.database_pool import DatabasePool
from tests.processes import Processes
from tests.repositories.rows import store
from tests.repositories.statements import wrong_hours

BTC = TickerKey("deribit", "btc_usd")
BEFORE = "20261120_price_changes"
COUNTS = """
SELECT (SELECT count(*) FROM prices), (SELECT count(*) FROM price_hours),
       (SELECT sum(samples) FROM price_hours)
"""


@pytest.fixture
def target_url(servers: Servers, database_pool: DatabasePool) -> Iterator[str]:
    """A second database, migrated and empty, as a URL."""
    with database_pool.database() as name:
        yield servers.plain_url(name)


@pytest.fixture
async def empty_database(servers: Servers, database_name: str) -> AsyncIterator[str]:
    """A database without anything in it, by name."""
    name = f"{database_name}_bare"
    admin = await asyncpg.connect(servers.plain_url("postgres"))
    await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    yield name
    await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await admin.close()


async def _run(program: str, *arguments: str, given: bytes = b"") -> bytes:
    command = [str(bin_directory() / program), *arguments]
    done = await asyncio.to_thread(subprocess.run, command, input=given, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


async def _restore(url: str, dump: bytes) -> None:
    await _run("psql", "-qX", "-v", "ON_ERROR_STOP=1", url, given=dump)


async def _assert_complete(url: str, *counts: int) -> None:
    """Require so many rows, hours and samples, and that the summaries are right."""
    sql = await asyncpg.connect(url)
    assert tuple(await sql.fetchrow(COUNTS)) == counts
    assert await wrong_hours(sql) == []
    await sql.execute("DELETE FROM prices WHERE timestamp % 3600 = 0")
    assert await wrong_hours(sql) == []
    await sql.close()


@pytest.mark.parametrize("options", [["--table=prices"], ["--table=prices", "--inserts"], []])
async def test_data_alone_is_restored_into_a_migrated_database(
    servers: Servers,
    database_name: str,
    sql: asyncpg.Connection,
    target_url: str,
    options: list[str],
) -> None:
    """Also where the dump brings the summaries, before the rows that they are of."""
    await store(sql, range(0, 2 * 3600, 60))
    source = servers.plain_url(database_name)
    dump = await _run("pg_dump", "--data-only", "--exclude-table=alembic_version", *options, source)
    await _restore(target_url, dump)
    await _assert_complete(target_url, 120, 2, 120)


async def test_whole_backup_is_restored_and_goes_on_counting(
    servers: Servers, database_name: str, sql: asyncpg.Connection, empty_database: str
) -> None:
    await store(sql, range(0, 2 * 3600, 60))
    await _restore(
        servers.plain_url(empty_database), await _run("pg_dump", servers.plain_url(database_name))
    )
    await _assert_complete(servers.plain_url(empty_database), 120, 2, 120)


async def test_changes_of_a_dump_mislead_no_reader(
    servers: Servers,
    database_name: str,
    sql: asyncpg.Connection,
    empty_database: str,
) -> None:
    """They may carry numbers that this server reaches years later, and would be news until then."""
    await store(sql, [60, 120])
    await sql.execute("UPDATE price_changes SET transaction = transaction + 1000000")
    await sql.execute("UPDATE price_changes SET oldest_running = transaction, noted_at = 'epoch'")
    dump = await _run("pg_dump", servers.plain_url(database_name))
    await _restore(servers.plain_url(empty_database), dump)
    database = Database(servers.database_url(empty_database), pool_size=2)
    async with database.raw_connection() as connection:
        before = await cache_invalidation.read_snapshot(connection)
        position = await new_rows.read_current_position(connection)
        writer = await asyncpg.connect(servers.plain_url(empty_database))
        await store(writer, [180])
        await DeletionService(database).prune_changes()
        assert await writer.fetchval("SELECT count(*) FROM price_changes") == 2
        changed = await cache_invalidation.read_changes_since(connection, before)
        assert EVERYTHING in changed.changes
        later = await cache_invalidation.read_changes_since(connection, changed.snapshot)
        assert later.changes == []
        assert isinstance(await new_rows.read_news(connection, position, [BTC], 10), Reset)
        await writer.close()
    await database.close()


async def test_readers_of_before_a_restore_are_told(
    servers: Servers, database_name: str, sql: asyncpg.Connection, database: Database
) -> None:
    await store(sql, [60])
    source = servers.plain_url(database_name)
    dump = await _run("pg_dump", "--clean", "--if-exists", source)
    await store(sql, [120, 180])
    async with database.raw_connection() as connection:
        position = await new_rows.read_current_position(connection)
    await _restore(source, dump)
    await DeletionService(database).replace_restored_changes()
    async with database.raw_connection() as connection:
        news = await new_rows.read_news(connection, position, [BTC], 10)
    assert isinstance(news, Reset)
    assert news.ranges == {BTC: (60, 60)}


async def _migrate(settings: Settings, directory: Path, *command: str) -> None:
    with Processes(settings, directory) as processes:
        process = processes.start("alembic", *command)
        assert await asyncio.to_thread(process.popen.wait, 60) == 0, process.output


async def test_upgrade_puts_right_what_older_triggers_counted_wrong(
    settings: Settings, servers: Servers, empty_database: str, tmp_path: Path
) -> None:
    there = settings.model_copy(
        update={"database_url": SecretStr(servers.database_url(empty_database))}
    )
    await _migrate(there, tmp_path, "upgrade", BEFORE)
    sql = await asyncpg.connect(servers.plain_url(empty_database))
    await store(sql, range(0, 4 * 3600, 120))
    await sql.execute(
        "INSERT INTO prices SELECT 'deribit', 'btc_usd', slot, 7, 0, 'live' "
        "FROM generate_series(0, 3599, 60) AS slot "
        "ON CONFLICT (exchange, ticker, timestamp) DO UPDATE SET price = 7"
    )
    await sql.execute("DELETE FROM price_hours WHERE hour = 3600")
    await sql.execute("UPDATE price_hours SET hour = 36000 WHERE hour = 7200")
    assert len(await wrong_hours(sql)) == 4
    await _migrate(there, tmp_path, "upgrade", "head")
    assert await wrong_hours(sql) == []
    await _migrate(there, tmp_path, "downgrade", BEFORE)
    await store(sql, [4 * 3600])
    await sql.execute("DELETE FROM prices WHERE timestamp = 0")
    await sql.execute("UPDATE prices SET timestamp = timestamp + 7230 WHERE timestamp = 120")
    assert await wrong_hours(sql) == []
    await sql.close()


async def test_triggers_find_their_tables_in_whatever_schema_these_lie(
    settings: Settings, servers: Servers, empty_database: str, tmp_path: Path
) -> None:
    sql = await asyncpg.connect(servers.plain_url(empty_database))
    await sql.execute('CREATE SCHEMA "Not ""public"""')
    await sql.execute(f'ALTER DATABASE "{empty_database}" SET search_path = "Not ""public"""')
    there = settings.model_copy(
        update={"database_url": SecretStr(servers.database_url(empty_database))}
    )
    await _migrate(there, tmp_path, "upgrade", "head")
    table = '"Not ""public""".prices'
    await sql.execute("SET search_path = ''")
    await sql.execute(f"INSERT INTO {table} VALUES ('deribit', 'btc_usd', 60, 7, 0, 'live')")
    await sql.execute(f"UPDATE {table} SET timestamp = 7200")
    hours = table.replace("prices", "price_hours")
    assert await sql.fetchval(f"SELECT hour FROM {hours}") == 7200
    await sql.execute(f"TRUNCATE {table}")
    assert await sql.fetchval(f"SELECT count(*) FROM {hours}") == 0
    await sql.close()
