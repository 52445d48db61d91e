"""The command that removes what should not be there."""

import asyncio
import json
import os
import pty

import asyncpg
import pytest

from app.core.settings import Settings
from tests.cli.command_line import run_cli
from tests.preloaded_python import run_python
from tests.processes import environment
from tests.repositories.rows import store

T0 = 1_768_579_200
SUMMARY = """\
deribit:btc_usd: 3 rows, 2026-01-16T16:00:00Z to 2026-01-16T16:02:00Z
  import  1
  live  2
"""


@pytest.fixture
async def stored_prices(sql: asyncpg.Connection) -> None:
    """Two live rows and an imported one."""
    await store(sql, [T0, T0 + 60])
    await store(sql, [T0 + 120], source="import")


async def _run_with_answer(settings: Settings, words: str) -> tuple[int, str]:
    """Run it on a terminal and type an answer."""
    ours, theirs = pty.openpty()
    os.write(ours, words.encode())
    env = environment(settings, TERM="xterm")
    ended = await asyncio.to_thread(run_python, "app", "forget", "btc_usd", env=env, stdin=theirs)
    os.close(ours)
    os.close(theirs)
    return ended.returncode, ended.stdout


@pytest.mark.usefixtures("stored_prices")
async def test_nobody_to_ask_and_no_yes_forgets_nothing(
    settings: Settings, sql: asyncpg.Connection
) -> None:
    refused = await run_cli(settings, "forget", "btc_usd")
    assert refused.returncode == 2
    assert refused.stderr.startswith(SUMMARY)
    assert "--yes" in refused.stderr.splitlines()[-1]
    assert await sql.fetchval("SELECT count(*) FROM prices") == 3


@pytest.mark.usefixtures("stored_prices")
async def test_source_is_forgotten_and_told_as_json(
    settings: Settings, sql: asyncpg.Connection
) -> None:
    words = ("forget", "deribit:BTC_usd", "--source", "import", "--yes", "--json")
    ended = await run_cli(settings, *words)
    assert json.loads(ended.stdout) == {
        "exchange": "deribit",
        "ticker": "btc_usd",
        "rows": 1,
        "first": T0 + 120,
        "last": T0 + 120,
        "by_source": {"import": 1},
    }
    rows = await sql.fetch("SELECT timestamp, source FROM prices ORDER BY 1")
    assert [tuple(row) for row in rows] == [(T0, "live"), (T0 + 60, "live")]


@pytest.mark.usefixtures("stored_prices")
async def test_question_on_a_terminal_is_obeyed(
    settings: Settings, sql: asyncpg.Connection
) -> None:
    assert await _run_with_answer(settings, "n\n") == (2, "")
    assert await sql.fetchval("SELECT count(*) FROM prices") == 3
    assert await _run_with_answer(settings, "y\n") == (
        0,
        "3 rows of deribit:btc_usd are forgotten\n",
    )
    assert await sql.fetchval("SELECT count(*) FROM prices") == 0


async def test_ticker_that_nobody_knows_is_named(settings: Settings) -> None:
    ended = await run_cli(settings, "forget", "nope", "--yes")
    assert ended.returncode == 1
    assert "ticker_not_found" in ended.stderr
