"""Migrations, run as users run them."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from alembic.script import ScriptDirectory
from pydantic import SecretStr

from app.core.errors import SchemaOutdated
from app.core.settings import Settings
from app.postgres.database import Database
from app.postgres.schema_version import PROJECT, _revisions, require_compatible_database
from tests.conftest import Servers
from tests.processes import Process, Processes


@pytest.fixture
async def empty(
    settings: Settings, servers: Servers, database_name: str
) -> AsyncIterator[Settings]:
    """Settings of a database with nothing in it."""
    name = f"{database_name}_empty"
    admin = await asyncpg.connect(servers.plain_url("postgres"))
    await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    yield settings.model_copy(update={"database_url": SecretStr(servers.database_url(name))})
    await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await admin.close()


async def _wait_for_exit(process: Process) -> int:
    return await asyncio.to_thread(process.popen.wait, 60)


async def _run(processes: Processes, *command: str) -> Process:
    process = processes.start("alembic", *command)
    await _wait_for_exit(process)
    return process


def events(process: Process) -> list[str]:
    """Give the events that a process logged, one JSON object a line."""
    return [json.loads(line)["event"] for line in process.output.splitlines()]


def _url(settings: Settings) -> str:
    assert settings.database_url is not None
    return settings.database_url.get_secret_value()


async def _tables(settings: Settings) -> set[str]:
    connection = await asyncpg.connect(_url(settings).replace("+asyncpg", ""))
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    await connection.close()
    return {row[0] for row in rows}


async def test_four_upgrades_at_once_of_an_empty_database_all_succeed(
    empty: Settings, tmp_path: Path
) -> None:
    """Elsewhere two containers that migrated at once broke one another."""
    with Processes(empty, tmp_path) as processes:
        upgrades = [processes.start("alembic", "upgrade", "head") for _ in range(4)]
        codes = [await _wait_for_exit(upgrade) for upgrade in upgrades]
    assert codes == [0, 0, 0, 0], [upgrade.output for upgrade in upgrades]
    steps = [events(upgrade).count("schema_migrated") for upgrade in upgrades]
    assert sorted(steps) == [0, 0, 0, len(_revisions()[1])]
    for upgrade in upgrades:
        assert (events(upgrade)[0], events(upgrade)[-1]) == ("migration_started", "schema_current")
    assert await _tables(empty) == {
        "alembic_version",
        "prices",
        "recordings",
        "price_hours",
        "price_changes",
        "repair_retries",
        "unfillable",
        "exchange_clocks",
    }


async def test_schema_goes_down_and_up_again_and_equals_the_models(
    empty: Settings, tmp_path: Path
) -> None:
    with Processes(empty, tmp_path) as processes:
        for command in (("upgrade", "head"), ("downgrade", "base"), ("upgrade", "head")):
            process = await _run(processes, *command)
            assert process.popen.returncode == 0, process.output
            tables = await _tables(empty)
            assert ("prices" in tables) == (command[0] == "upgrade")
        check = await _run(processes, "check")
    assert check.popen.returncode == 0, check.output
    assert "No new upgrade operations detected" in check.output


async def test_migrating_without_a_server_ends_with_one_line(
    settings: Settings, servers: Servers, tmp_path: Path
) -> None:
    for url in (
        "postgresql+asyncpg://a:hush@127.0.0.1:1/b",
        servers.database_url("no_such_database"),
    ):
        away = settings.model_copy(update={"database_url": SecretStr(url)})
        with Processes(away, tmp_path) as processes:
            process = await _run(processes, "upgrade", "head")
        assert process.popen.returncode == 1
        assert process.output.startswith("database_unavailable: ")
        assert process.output.count("\n") == 1
        assert "make run" in process.output
        assert "DATABASE_URL" in process.output
        assert "hush" not in process.output


async def test_current_schema_is_accepted(database: Database) -> None:
    await require_compatible_database(database)


async def test_older_and_absent_schemas_are_refused_in_one_line(
    database: Database, sql: asyncpg.Connection
) -> None:
    await sql.execute("DELETE FROM alembic_version")
    with pytest.raises(SchemaOutdated, match=r"is at nothing, this code needs .*upgrade head"):
        await require_compatible_database(database)
    await sql.execute("DROP TABLE alembic_version")
    with pytest.raises(SchemaOutdated) as caught:
        await require_compatible_database(database)
    assert "\n" not in str(caught.value)


async def test_newer_schema_that_the_code_does_not_know_is_accepted(
    database: Database, sql: asyncpg.Connection
) -> None:
    await sql.execute("UPDATE alembic_version SET version_num = '20991231_of_tomorrow'")
    await require_compatible_database(database)


def test_migrations_are_known_as_alembic_knows_them() -> None:
    script = ScriptDirectory(str(PROJECT / "alembic"))
    known = {revision.revision for revision in script.walk_revisions()}
    assert _revisions() == (script.get_current_head(), known)


def test_every_migration_limits_its_wait_for_locks() -> None:
    scripts = list((PROJECT / "alembic" / "versions").glob("*.py"))
    assert scripts
    for script in [*scripts, PROJECT / "alembic" / "script.py.mako"]:
        functions = script.read_text().split("\ndef ")[1:]
        assert len(functions) == 2
        assert all("SET LOCAL lock_timeout" in function for function in functions), script
