"""Recordings in a real database."""

import asyncpg
import pytest
from sqlalchemy.exc import IntegrityError

from app.domain.prices import TickerKey
from app.domain.recordings import Recording
from app.domain.slots import Slot
from app.postgres.database import Database
from app.repositories import recordings

BTC = TickerKey("deribit", "btc_usd")
ETH = TickerKey("deribit", "eth_usd")


async def _upsert(database: Database, *rows: Recording) -> None:
    async with database.transaction() as session:
        await recordings.upsert(session, rows)


async def _newest(database: Database) -> dict[TickerKey, Recording]:
    async with database.read_committed() as session:
        return await recordings.newest(session)


async def test_newest_recording_of_every_ticker_is_read(database: Database) -> None:
    assert await _newest(database) == {}
    closed = Recording(BTC, 60, Slot(0), Slot(600))
    opened = Recording(BTC, 30, Slot(1200))
    ended = Recording(ETH, 60, Slot(60), Slot(120))
    await _upsert(database, closed, opened, ended)
    assert await _newest(database) == {BTC: opened, ETH: ended}


async def test_put_writes_over_the_one_that_began_in_the_same_slot(
    database: Database, sql: asyncpg.Connection
) -> None:
    await _upsert(database, Recording(BTC, 60, Slot(0)))
    await _upsert(database, Recording(BTC, 30, Slot(0), Slot(60)))
    await _upsert(database, Recording(BTC, 30, Slot(0)))
    assert [tuple(row) for row in await sql.fetch("SELECT * FROM recordings")] == [
        ("deribit", "btc_usd", 0, None, 30)
    ]


async def test_empty_recording_is_removed(database: Database) -> None:
    await _upsert(database, Recording(BTC, 60, Slot(120)), Recording(ETH, 60, Slot(120)))
    await _upsert(database, Recording(BTC, 60, Slot(120), Slot(60)))
    assert set(await _newest(database)) == {ETH}


async def test_second_open_recording_of_a_ticker_is_impossible(database: Database) -> None:
    with pytest.raises(IntegrityError, match="recordings_one_open"):
        await _upsert(database, Recording(BTC, 60, Slot(0)), Recording(BTC, 60, Slot(60)))
    assert await _newest(database) == {}


async def test_recording_begins_no_later_than_a_row(database: Database) -> None:
    await _upsert(database, Recording(BTC, 60, Slot(120)), Recording(ETH, 60, Slot(120), Slot(180)))
    async with database.transaction() as session:
        await recordings.extend_open_start(session, {BTC: Slot(60), ETH: Slot(60)})
    newest = await _newest(database)
    assert newest[BTC].first_slot == 60
    assert newest[ETH].first_slot == 120, "a closed one promises what it promised"
    async with database.transaction() as session:
        await recordings.extend_open_start(session, {BTC: Slot(600)})
        await recordings.extend_open_start(session, {})
    assert (await _newest(database))[BTC].first_slot == 60


async def test_recording_never_begins_within_an_earlier_one(database: Database) -> None:
    await _upsert(database, Recording(BTC, 60, Slot(0), Slot(120)), Recording(BTC, 300, Slot(600)))
    for slot, first in ((0, 600), (120, 600), (180, 180)):
        async with database.transaction() as session:
            await recordings.extend_open_start(session, {BTC: Slot(slot)})
        assert (await _newest(database))[BTC].first_slot == first


async def test_who_changes_recordings_waits_for_its_turn(
    database: Database, sql: asyncpg.Connection
) -> None:
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
    async with database.transaction() as session:
        await recordings.lock_recordings(session)
        taken = "SELECT pg_try_advisory_xact_lock(hashtextextended('prices:recordings', 0))"
        assert await sql.fetchval(taken) is False
        assert await sql.fetchval(held) == 1
    assert await sql.fetchval(taken) is True
