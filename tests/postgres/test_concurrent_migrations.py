"""Migrations that are started at the same time run one after the other."""

import asyncio
from pathlib import Path

import asyncpg

from app.core.settings import Settings
from tests.processes import Processes

EMPTIED_AND_SLOW = """
DROP SCHEMA public CASCADE;
CREATE SCHEMA public;
CREATE SCHEMA aside;
CREATE FUNCTION aside.linger() RETURNS event_trigger LANGUAGE plpgsql
    AS 'BEGIN PERFORM pg_sleep(0.5); END';
CREATE EVENT TRIGGER linger ON ddl_command_start EXECUTE FUNCTION aside.linger();
"""


async def test_upgrades_that_overlap_take_turns(
    settings: Settings, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    """Elsewhere two containers migrated at once; each statement lingers, so these do overlap."""
    await sql.execute(EMPTIED_AND_SLOW)
    with Processes(settings, tmp_path) as processes:
        upgrades = [processes.start("alembic", "upgrade", "head") for _ in range(2)]
        codes = [await asyncio.to_thread(upgrade.popen.wait, 60) for upgrade in upgrades]
    assert codes == [0, 0], [upgrade.output for upgrade in upgrades]
