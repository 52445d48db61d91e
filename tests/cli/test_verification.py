"""What `verify` finds wrong, and `verify --rebuild` mends."""

import asyncpg
import pytest

from app.core.settings import Settings
from tests.cli.command_line import run_cli
from tests.repositories.rows import store

START = 1_768_579_200


@pytest.mark.accept
async def test_wrong_summaries_are_found_and_mended(
    settings: Settings, sql: asyncpg.Connection
) -> None:
    await store(sql, [START, START + 3600])
    assert (await run_cli(settings, "verify")).returncode == 0
    await sql.execute("UPDATE price_hours SET samples = 3")
    found = await run_cli(settings, "verify")
    assert (found.returncode, found.stdout[:28]) == (1, "2 hourly summaries are wrong")
    assert (await run_cli(settings, "verify", "--rebuild")).returncode == 0
    sound = await run_cli(settings, "verify")
    assert (sound.returncode, sound.stdout[:26]) == (0, "every hourly summary says ")
