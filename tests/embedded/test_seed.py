"""The demo's history: complete, exact, promised, and stored once."""

import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import asyncpg
import pytest

from app.core.settings import Settings
from app.embedded.seed import past_slots, seed
from app.embedded.servers import embedded_servers
from app.simulator import index_price
from tests.preloaded_python import run_python
from tests.supervisor.child_programs import ENVIRONMENT

MINUTE = 60


@pytest.fixture
def database_url() -> Iterator[str]:
    """Start an empty database that is migrated to the newest schema."""
    with (
        tempfile.TemporaryDirectory(prefix="seed-") as name,
        embedded_servers(Path(name), fast=True) as servers,
    ):
        migrate(servers.database_url)
        yield servers.database_url


def migrate(url: str) -> None:
    ended = run_python("app", "migrate", env={**ENVIRONMENT, "DATABASE_URL": url})
    assert ended.returncode == 0, ended.stderr


async def fetch_rows(url: str, sql: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        return [tuple(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()


async def test_two_days_are_stored_once_and_promised(database_url: str) -> None:
    settings = Settings(tickers=("btc_usd", "eth_usd"))

    await seed(settings, database_url)
    await seed(settings, database_url)

    shape = await fetch_rows(
        database_url,
        "SELECT ticker, count(*) - (max(timestamp) - min(timestamp)) / 60, min(source),"
        " bool_and(timestamp % 60 = 0) FROM prices GROUP BY ticker ORDER BY ticker",
    )
    assert shape == [("btc_usd", 1, "import", True), ("eth_usd", 1, "import", True)]
    ((rows, first, price),) = await fetch_rows(
        database_url,
        "SELECT count(*), min(timestamp), (array_agg(price ORDER BY timestamp))[1] FROM prices"
        " WHERE ticker = 'btc_usd'",
    )
    assert rows in {2880, 2881}  # the second one may have begun a minute later
    assert isinstance(first, int)
    assert isinstance(price, Decimal)
    assert price == index_price("btc_usd", first)
    promised = await fetch_rows(database_url, "SELECT first_slot, last_slot FROM recordings")
    assert promised == [(first, None)] * 2


def test_past_slots_end_just_before_the_present_one() -> None:
    current_minute = 1_795_183_440
    slots = past_slots((current_minute + 59) * 1_000_000, MINUTE, tickers=2)

    assert slots[-1] == current_minute - MINUTE
    assert slots == list(range(current_minute - 2880 * MINUTE, current_minute, MINUTE))


@pytest.mark.parametrize(
    ("interval", "tickers", "count"), [(1, 1, 2880), (3600, 1, 48), (86400, 1, 2), (60, 1000, 100)]
)
def test_past_slots_stay_few(interval: int, tickers: int, count: int) -> None:
    assert len(past_slots(1_795_183_440_000_000, interval, tickers)) == count
