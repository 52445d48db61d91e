"""What changed since a moment: every write tells, however late it is committed."""

import asyncpg
import pytest

from app.domain.changed_slots import EVERYTHING, Change
from app.domain.prices import TickerKey
from app.domain.slots import Slot
from app.postgres.database import Database
from app.repositories import cache_invalidation
from app.repositories.cache_invalidation import Snapshot
from tests.conftest import Servers
from tests.repositories.rows import store

BTC = TickerKey("deribit", "btc_usd")
ETH = TickerKey("deribit", "eth_usd")


async def _take_snapshot(database: Database) -> Snapshot:
    async with database.raw_connection() as connection:
        return await cache_invalidation.read_snapshot(connection)


async def _changes_since(database: Database, snapshot: Snapshot) -> tuple[Snapshot, list[Change]]:
    async with database.raw_connection() as connection:
        return (await cache_invalidation.read_changes_since(connection, snapshot))[:2]


def _change(key: TickerKey, first: int, last: int) -> Change:
    return Change(key, Slot(first), Slot(last))


async def test_every_kind_of_write_tells_what_it_touched(
    database: Database, sql: asyncpg.Connection
) -> None:
    snapshot = await _take_snapshot(database)
    assert (await _changes_since(database, snapshot))[1] == []
    rows = [("deribit", "btc_usd", slot, 5, 0, "live") for slot in (60, 120, 180)]
    columns = ["exchange", "ticker", "timestamp", "price", "observed_us", "source"]
    for write, expected in (
        (lambda: store(sql, [600], ticker="eth_usd"), [_change(ETH, 600, 600)]),
        (
            lambda: sql.copy_records_to_table("prices", records=rows, columns=columns),
            [_change(BTC, 60, 180)],
        ),
        (
            lambda: sql.execute("UPDATE prices SET timestamp = 240 WHERE timestamp = 180"),
            [_change(BTC, 180, 240)],
        ),
        (
            lambda: sql.execute("DELETE FROM prices WHERE timestamp <= 120"),
            [_change(BTC, 60, 120)],
        ),
        (lambda: sql.execute("DELETE FROM prices WHERE timestamp = 7"), []),
        (lambda: sql.execute("TRUNCATE prices"), [EVERYTHING]),
    ):
        await write()
        snapshot, found = await _changes_since(database, snapshot)
        assert found == expected


async def test_row_that_was_there_already_is_no_change(
    database: Database, sql: asyncpg.Connection
) -> None:
    await store(sql, [60])
    snapshot = await _take_snapshot(database)
    await sql.execute(
        "INSERT INTO prices VALUES ('deribit', 'btc_usd', 60, 1, 0, 'live') ON CONFLICT DO NOTHING"
    )
    assert (await _changes_since(database, snapshot))[1] == []


async def test_transaction_that_commits_late_is_not_missed(
    database: Database, servers: Servers, database_name: str, sql: asyncpg.Connection
) -> None:
    """A counter would pass it by: others that began later were seen before it."""
    slow = await asyncpg.connect(servers.plain_url(database_name))
    transaction = slow.transaction()
    await transaction.start()
    await store(slow, [60])
    snapshot = await _take_snapshot(database)
    await store(sql, [6000], ticker="eth_usd")
    snapshot, found = await _changes_since(database, snapshot)
    assert found == [_change(ETH, 6000, 6000)]
    await transaction.commit()
    snapshot, found = await _changes_since(database, snapshot)
    assert found == [_change(BTC, 60, 60)]
    assert (await _changes_since(database, snapshot))[1] == []
    await slow.close()


async def test_rolled_back_write_is_no_change(database: Database, sql: asyncpg.Connection) -> None:
    snapshot = await _take_snapshot(database)
    transaction = sql.transaction()
    await transaction.start()
    await store(sql, [60])
    await transaction.rollback()
    assert (await _changes_since(database, snapshot))[1] == []


async def test_another_server_changed_everything(database: Database) -> None:
    snapshot = (await _take_snapshot(database))._replace(numbering="before")
    assert (await _changes_since(database, snapshot))[1] == [EVERYTHING]


async def test_changes_are_forgotten_an_hour_after_their_transaction(
    database: Database, sql: asyncpg.Connection
) -> None:
    """A later note tells that the transactions before it were over; the newest of them stays."""
    await store(sql, [60])
    await store(sql, [120])
    await sql.execute("UPDATE price_changes SET noted_at = now() - interval '1 hour 1 second'")
    await store(sql, [180])
    async with database.transaction() as session:
        await cache_invalidation.prune_changes(session)
    assert await sql.fetchval("SELECT array_agg(first_slot) FROM price_changes") == [120, 180]


@pytest.mark.parametrize("maintenance", ["VACUUM (FREEZE)", "VACUUM (FULL, FREEZE)"])
async def test_changes_of_this_server_are_not_taken_for_restored(
    database: Database, sql: asyncpg.Connection, maintenance: str
) -> None:
    """Also when PostgreSQL has frozen or rewritten their rows."""
    await store(sql, [60])
    await sql.execute(f"{maintenance} price_changes")
    async with database.transaction() as session:
        assert not await cache_invalidation.replace_restored_changes(session)
