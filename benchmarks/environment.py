"""The environment: every server that is measured, started once, with the same rows in each."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.embedded.servers import embedded_servers
from app.supervisor.ports import free_port
from benchmarks import rows
from benchmarks.database import Sql, now
from benchmarks.machine import SERVER_CORE, pinned
from benchmarks.processes import Server, python, serving
from benchmarks.scale import DAY_MINUTES, MINUTE, Scale

TICKERS: Final = ("btc_usd", "eth_usd")
BIG, SMALL = "sol_usd", "xrp_usd"
TIDE, TAIL = "tide_usd", "tail_usd"
"""What is written while answers are checked: one rewritten as a whole, one growing."""
SMALL_ROWS: Final = 10_000
COLD_MEGABYTES: Final = 4
"""A memory that holds five weeks of what is asked of it: nearly every read is a cold one."""
METRICS_KEPT: Final = "100y"

LATEST: Final = "/api/v1/prices/latest?ticker={ticker}"
PERIOD: Final = "/api/v1/prices/period?ticker={ticker}&from_dt={from}&to_dt={to}&limit=1440"
HISTORY: Final = "/api/v1/prices/history?ticker={ticker}&limit=1440"
NEWEST: Final = "/api/v1/prices/history?ticker={ticker}&limit=1000"
AT: Final = "/api/v1/prices/at?ticker={ticker}&timestamp={from}"
BASELINE_LATEST: Final = "/latest?ticker={ticker}"
BASELINE_PERIOD: Final = "/period?ticker={ticker}&from_dt={from}&to_dt={to}&limit=1440"
_SELECTED: Final = "query=price%7Bticker=%22{ticker}%22%7D"
VICTORIA_LATEST: Final = f"/api/v1/query?{_SELECTED}&time={{from}}"
VICTORIA_PERIOD: Final = f"/api/v1/query_range?{_SELECTED}&start={{from}}&end={{to}}&step=60"

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Environment:
    """Running servers, and what is stored in them."""

    scale: Scale
    directory: Path
    sql: Sql
    redis_url: str
    newest: int
    api: Server
    cold: Server
    baseline: Server
    asgi_floor: Server
    victoria: Server
    env: Mapping[str, str]
    """The settings of an API."""

    @property
    def first(self) -> int:
        """The oldest slot of the tickers that every server has."""
        return self.newest - (self.scale.rows - 1) * MINUTE

    def days_back(self, days: int) -> int:
        """Give the slot so many days before the newest, or the oldest if that is later."""
        return max(self.first, self.newest - (days * DAY_MINUTES - 1) * MINUTE)


@contextmanager
def start_environment(scale: Scale, tell: Tell) -> Iterator[Environment]:
    """Start every server and fill it; end all of them and remove what they wrote."""
    directory = Path(tempfile.mkdtemp(prefix="bench-"))
    directory.chmod(0o755)  # PostgreSQL's own user enters it
    try:
        with ExitStack() as stack:
            yield _start(scale, directory, stack, tell)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _start(scale: Scale, directory: Path, stack: ExitStack, tell: Tell) -> Environment:
    with pinned(SERVER_CORE):
        embedded = stack.enter_context(embedded_servers(directory))
    sql, newest = Sql(embedded.database_url), now()
    sql.migrate(directory)
    _fill(scale, sql, newest, tell)
    tell("starting the servers")
    env = {
        "DATABASE_URL": embedded.database_url,
        "REDIS_URL": embedded.redis_url,
        "TICKERS": ",".join((*TICKERS, BIG, SMALL, TIDE, TAIL)),
    }
    victoria = stack.enter_context(_victoria(directory))
    tell("copying the rows to VictoriaMetrics")
    for ticker in TICKERS:
        rows.copy_to_victoria(sql, victoria.url, ticker)
    return Environment(
        scale=scale,
        directory=directory,
        sql=sql,
        redis_url=embedded.redis_url,
        newest=newest,
        api=stack.enter_context(serving_api(directory, "api", env)),
        cold=stack.enter_context(
            serving_api(directory, "cold", {**env, "READ_MEMORY_MEGABYTES": str(COLD_MEGABYTES)})
        ),
        baseline=stack.enter_context(_uvicorn(directory, "baseline", env)),
        asgi_floor=stack.enter_context(_uvicorn(directory, "asgi_floor", env)),
        victoria=victoria,
        env=env,
    )


def _fill(scale: Scale, sql: Sql, newest: int, tell: Tell) -> None:
    amounts = dict.fromkeys(TICKERS, scale.rows)
    if scale.is_long:
        amounts |= {BIG: scale.big_rows, SMALL: SMALL_ROWS}
    for ticker, amount in amounts.items():
        tell(f"storing {amount:,} rows of {ticker}")
        rows.fill(sql, ticker, newest, amount)
    rows.settle(sql)


@contextmanager
def serving_api(directory: Path, name: str, env: Mapping[str, str]) -> Iterator[Server]:
    """Run an API of its own until the block ends."""
    port = free_port()
    settings = {**env, "API_PORT": str(port)}
    with serving(port, directory / f"{name}.log", *python("app", "api"), env=settings) as server:
        yield server


@contextmanager
def _uvicorn(directory: Path, name: str, env: dict[str, str]) -> Iterator[Server]:
    port = free_port()
    quiet = ("--no-access-log", "--log-level", "warning")
    command = python("uvicorn", f"benchmarks.{name}:app", "--port", str(port), *quiet)
    if name == "asgi_floor":
        command = (*command, "--lifespan", "off")
    with serving(port, directory / f"{name}.log", *command, env=env) as server:
        yield server


@contextmanager
def _victoria(directory: Path) -> Iterator[Server]:
    port = free_port()
    command = (
        "victoria-metrics",
        f"-httpListenAddr=127.0.0.1:{port}",
        f"-storageDataPath={directory / 'victoria'}",
        f"-retentionPeriod={METRICS_KEPT}",
        "-loggerLevel=ERROR",
    )
    with serving(port, directory / "victoria.log", *command) as server:
        yield server
