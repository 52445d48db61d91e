"""Ticks: a thousand tickers collected at once, beside the bare requests."""

import json
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

from app.supervisor.ports import free_port
from benchmarks import load
from benchmarks.environment import Environment
from benchmarks.machine import LOAD_CORE, SERVER_CORE, pinned
from benchmarks.processes import Broken, python, run, serving
from benchmarks.results import RATIO, Result, middle, seconds
from benchmarks.scale import MINUTE

TICKERS: Final = 1_000
CONNECTIONS: Final = 100
REQUESTS_PER_SECOND: Final = 100_000
DATABASE: Final = "ticks"
PHASE_SECONDS: Final = 5
"""Where the exchange's minute is at the start: far from its end, for which a tick would wait."""


OURS, BARE = "benchmarks.tick", "benchmarks.aiohttp_floor"
"""Each in processes of its own."""


def measure(environment: Environment) -> Iterator[Result]:
    """Collect every ticker once, and ask the same without anything around it."""
    environment.sql.ask(f"CREATE DATABASE {DATABASE}")
    sql = environment.sql.named(DATABASE)
    sql.migrate(environment.directory)
    port = free_port()
    offset_ms = 1000 * (PHASE_SECONDS - time.time() % MINUTE)
    command = python(
        "app", "exchange", "--any-index", f"--port={port}", f"--clock-offset-ms={offset_ms:.0f}"
    )
    env = {
        "DATABASE_URL": sql.url,
        "REDIS_URL": environment.redis_url,
        "DERIBIT_BASE_URL": f"http://127.0.0.1:{port}/api/v2",
        "TICKERS": ",".join(f"t{number:04}_usd" for number in range(TICKERS)),
        "EXCHANGE_REQUESTS_PER_SECOND": str(REQUESTS_PER_SECOND),
        "EXCHANGE_CONNECTIONS": str(CONNECTIONS),
        "LOG_LEVEL": "error",
    }
    log = environment.directory / "exchange.log"
    with serving(port, log, *command, core=LOAD_CORE), pinned(SERVER_CORE):
        taken = load.medians(
            environment.scale, {name: partial(_measured, name, env) for name in (OURS, BARE)}
        )
    ours, bare = taken[OURS], taken[BARE]
    detail = f"{TICKERS:,} rows stored in {seconds(ours)}, bare requests {seconds(bare)}"
    yield Result("a tick, of the bare requests' time", ours / bare, RATIO, detail, at_most=2)


def _measured(module: str, env: Mapping[str, str]) -> float:
    said = json.loads(run(*python(module), env=env).splitlines()[-1])
    if said.get("stored", TICKERS) != TICKERS:
        raise Broken(f"{said['stored']} rows stored")
    return middle(said["seconds"])
