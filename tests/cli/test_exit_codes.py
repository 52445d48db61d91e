"""Exit codes: each is listed where users look, and each is what a command ends with."""

import asyncio
import re
import signal
import sys

import asyncpg
import pytest

from app.cli import COMMANDS
from app.cli.exit_codes import EPILOG, ExitCode
from app.core.settings import Settings
from app.simulator import Exchange
from tests.cli.command_line import run_cli
from tests.preloaded_python import PROJECT
from tests.processes import environment
from tests.repositories.rows import add_recording, store
from tests.waiting import until

PAGE = (PROJECT / "docs/command-line.md").read_text()
T0 = 1_768_579_200


def _words(text: str) -> str:
    return " ".join(text.split())


def test_every_exit_code_is_documented_and_every_documented_one_exists() -> None:
    codes = [int(code) for code in ExitCode]
    assert [int(code) for code in re.findall(r"^\| `(\d+)` \|", PAGE, re.MULTILINE)] == codes
    assert [int(code) for code in re.findall(r"(\d+) ", EPILOG)] == codes


def test_every_command_is_on_the_page() -> None:
    names = [name for commands in COMMANDS.values() for name in commands]
    assert [name for name in names if f"`{name}`" not in PAGE] == []


@pytest.mark.parametrize("words", [(), ("gaps",), ("import",)])
async def test_help_lists_the_exit_codes(settings: Settings, words: tuple[str, ...]) -> None:
    ended = await run_cli(settings, *words, "--help")
    assert ended.returncode == ExitCode.DONE
    assert EPILOG in _words(ended.stdout)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("nonsense",),
        ("gaps", "--nonsense"),
        ("gaps", "--from", "nonsense"),
        ("import",),
        ("healthcheck", "nonsense"),
        ("exchange", "--fault", "nonsense"),
    ],
)
async def test_what_makes_no_sense_is_refused(settings: Settings, words: tuple[str, ...]) -> None:
    ended = await run_cli(settings, *words)
    assert ended.returncode == ExitCode.REFUSED
    assert "Traceback" not in ended.stderr


async def test_done_is_nothing_missing_and_everything_collected(settings: Settings) -> None:
    for command in ("collect", "gaps", "report", "verify", "backfill"):
        assert (await run_cli(settings, command)).returncode == ExitCode.DONE, command


async def test_ticker_that_is_not_collected_is_a_failure(
    settings: Settings, exchange: Exchange
) -> None:
    exchange.add_fault("error", code=-32602, data={"param": "index_name"}, index="eth_usd")
    ended = await run_cli(settings, "collect")
    assert ended.returncode == ExitCode.FAILED
    assert ended.stdout == "btc_usd: stored\neth_usd: failed, exchange_unknown_index\n"


async def test_ticker_that_is_not_repaired_is_a_failure(
    settings: Settings, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    newest = int(await sql.fetchval("SELECT floor(extract(epoch FROM now()))")) // 60 * 60 - 600
    await add_recording(sql, newest - 120, newest)
    await store(sql, [newest - 120, newest])
    exchange.add_fault("error", code=-32602, data={"param": "index_name"}, index="btc_usd")
    assert (await run_cli(settings, "backfill")).returncode == ExitCode.FAILED


async def test_interrupted_command_says_so(settings: Settings, exchange: Exchange) -> None:
    exchange.set_delay(60_000)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app", "collect"),
        env=environment(settings),
        cwd=PROJECT,
        stderr=asyncio.subprocess.PIPE,
    )

    async def has_requested() -> bool:
        return bool(exchange.requests)

    await until(has_requested, 60)
    process.send_signal(signal.SIGINT)
    _, errors = await process.communicate()
    assert process.returncode == ExitCode.INTERRUPTED
    assert b"Traceback" not in errors
