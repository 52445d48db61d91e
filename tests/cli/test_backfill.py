"""Repairs by hand, through the command."""

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys

import asyncpg
import pytest

from app.core.settings import Settings
from app.simulator import Exchange
from tests.preloaded_python import run_python
from tests.processes import PROJECT, environment
from tests.services.price_gaps import backfilled_slots, store_with_gaps
from tests.waiting import until

COMMAND = [sys.executable, "-m", "app", "backfill"]


async def run(settings: Settings, *options: str, **env: str) -> "subprocess.CompletedProcess[str]":
    command = ("app", "backfill", *options)
    return await asyncio.to_thread(run_python, *command, env=environment(settings, **env))


async def test_chunks_are_told_while_it_works_and_summed_up_at_the_end(
    settings: Settings, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    await store_with_gaps(sql, exchange, [10, 11, 90], seconds=7_200)
    ended = await run(settings)
    assert (ended.returncode, ended.stdout) == (0, "3 filled, 0 unfillable, 0 remaining\n")
    assert ended.stderr.splitlines() == [
        "3 still to be filled",
        "deribit:btc_usd from the 1h chart: 2 filled, 0 unfillable; 2 of 3 done",
        "deribit:btc_usd from the 1d chart: 1 filled, 0 unfillable; 3 of 3 done",
    ]


async def test_json_is_all_that_stands_on_stdout(
    settings: Settings, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    await store_with_gaps(sql, exchange, [10, 11])
    ended = await run(settings, "--json", LOG_LEVEL="debug")
    assert json.loads(ended.stdout) == {
        "filled": 2,
        "unfillable": 0,
        "remaining": 0,
        "failed": {},
    }
    assert "gap_filled" in ended.stderr


@pytest.mark.accept
async def test_bar_moves_on_a_terminal(
    settings: Settings, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    await store_with_gaps(sql, exchange, [10, 11])
    ours, theirs = pty.openpty()
    with subprocess.Popen(  # noqa: ASYNC220, S603  # our own program, and its end is awaited below
        COMMAND,
        env=environment(settings, TERM="xterm"),
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as popen:
        out, _ = await asyncio.to_thread(popen.communicate)
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert popen.returncode == 0
    assert "repairing" in shown
    assert "100%" in shown
    assert out == b"2 filled, 0 unfillable, 0 remaining\n"


@pytest.mark.accept
async def test_options_narrow_what_is_repaired(
    settings: Settings, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    newest = await store_with_gaps(sql, exchange, range(10, 20))
    await store_with_gaps(sql, exchange, range(10, 20), ticker="eth_usd")
    first, last = newest - 60 * 15, newest - 60 * 14
    span = (f"--from={first}", f"--to={last}000")
    elsewhere = await run(settings, "--ticker=elsewhere:eth_usd", *span)
    assert "ticker_not_found" in elsewhere.stderr
    ended = await run(settings, "--ticker=ETH_USD", "--exchange=deribit", *span)
    assert ended.returncode == 0
    assert (await run(settings, "--ticker=deribit:eth_usd", *span)).stdout.startswith("0 filled")
    assert await backfilled_slots(sql, "eth_usd") == [first, last]
    assert await backfilled_slots(sql) == []


@pytest.mark.accept
async def test_ticker_that_fails_is_named_and_the_exit_says_so(
    settings: Settings, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    await store_with_gaps(sql, exchange, [10])
    await store_with_gaps(sql, exchange, [10, 11], ticker="eth_usd")
    exchange.add_fault("error", code=-32602, data={"param": "index_name"}, index="eth_usd")
    ended = await run(settings)
    assert ended.returncode == 1
    assert ended.stdout.splitlines() == [
        "1 filled, 0 unfillable, 2 remaining",
        "eth_usd: failed, exchange_unknown_index",
    ]


@pytest.mark.accept
async def test_force_asks_again(
    settings: Settings, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    a_day = 26 * 60
    await store_with_gaps(sql, exchange, range(a_day, a_day + 20), seconds=28 * 3_600)
    assert (await run(settings)).stdout == "4 filled, 16 unfillable, 0 remaining\n"
    exchange.market.set_chart_steps({"2d": 60})
    assert (await run(settings)).stdout == "0 filled, 16 unfillable, 0 remaining\n"
    assert (await run(settings, "--force")).stdout == "16 filled, 0 unfillable, 0 remaining\n"


async def test_what_makes_no_sense_ends_with_words(settings: Settings) -> None:
    for options, words in (
        (["--ticker=nope"], "ticker_not_found: "),
        (["--from=2", "--to=1"], "must not be after"),
        (["--from=yesterday"], "--from"),
    ):
        ended = await run(settings, *options)
        assert ended.returncode in {1, 2}
        assert words in ended.stderr
        assert "Traceback" not in ended.stderr


@pytest.mark.accept
async def test_repair_that_is_killed_between_chunks_goes_on_where_it_was(
    settings: Settings, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    """One chunk is stored, the answer for the next is under way."""
    newest = await store_with_gaps(sql, exchange, [*range(10, 15), *range(90, 95)], seconds=7_200)
    exchange.set_delay(1_500)
    process = await asyncio.create_subprocess_exec(
        *COMMAND, env=environment(settings), cwd=PROJECT, stderr=asyncio.subprocess.DEVNULL
    )
    await until(lambda: backfilled_slots(sql), 40)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    exchange.set_delay(0)
    assert await backfilled_slots(sql) == [newest - 60 * distance for distance in range(14, 9, -1)]
    exchange.request_log.clear()
    assert (await run(settings)).stdout == "5 filled, 0 unfillable, 0 remaining\n"
    assert [one.params["range"] for one in exchange.requests] == ["1d"]
