"""Summaries of hours that went wrong are found, and written anew."""

import asyncpg
import pytest

from app.postgres.database import Database
from app.services.summary_verification import SummaryVerifier, VerifiedRange
from tests.repositories.rows import store

HOUR = 3600
DAMAGES = (
    "UPDATE price_hours SET samples = samples + 1 WHERE hour = 3600",
    "UPDATE price_hours SET open = open + 1 WHERE hour = 3600",
    "UPDATE price_hours SET grid_seconds = 1 WHERE hour = 3600",
    "DELETE FROM price_hours WHERE hour = 3600",
    "UPDATE price_hours SET hour = 36000 * 9999 WHERE hour = 3600",
)


async def _verify(database: Database, *, rebuild: bool = False) -> list[VerifiedRange]:
    return [part async for part in SummaryVerifier(database).verify(rebuild=rebuild)]


async def _wrong(database: Database) -> int:
    return sum(part.wrong for part in await _verify(database))


async def test_nothing_stored_is_right(database: Database) -> None:
    assert await _verify(database) == []


async def test_summaries_as_written_are_right(database: Database, sql: asyncpg.Connection) -> None:
    await store(sql, range(0, 5 * HOUR, 60))
    await store(sql, [100 * 24 * HOUR], ticker="eth_usd")
    parts = await _verify(database)
    assert {(part.key.ticker, part.wrong) for part in parts} == {("btc_usd", 0), ("eth_usd", 0)}


async def test_last_stretch_ends_with_the_last_hour_of_the_record(
    database: Database, sql: asyncpg.Connection
) -> None:
    await store(sql, range(0, 5 * HOUR, 60))
    assert [(part.start, part.end) for part in await _verify(database)] == [(0, 5 * HOUR)]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_damage_is_found_and_mended(
    database: Database, sql: asyncpg.Connection, damage: str
) -> None:
    await store(sql, range(0, 5 * HOUR, 60))
    before = await sql.fetch("SELECT * FROM price_hours ORDER BY hour")
    await sql.execute(damage)
    assert await _wrong(database) in {1, 2}
    assert await sql.fetch("SELECT * FROM price_hours ORDER BY hour") != before
    await _verify(database, rebuild=True)
    assert await _wrong(database) == 0
    assert await sql.fetch("SELECT * FROM price_hours ORDER BY hour") == before


async def test_summaries_are_made_where_there_are_none(
    database: Database, sql: asyncpg.Connection
) -> None:
    """A restore that switches triggers off leaves rows without summaries."""
    await sql.execute("ALTER TABLE prices DISABLE TRIGGER USER")
    await store(sql, range(0, 60 * 24 * HOUR, 4 * HOUR))
    await sql.execute("ALTER TABLE prices ENABLE TRIGGER USER")
    assert await _wrong(database) == 360
    await _verify(database, rebuild=True)
    assert await _wrong(database) == 0
