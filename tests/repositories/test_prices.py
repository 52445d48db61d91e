"""Prices in a real database."""

import asyncio
import json
from collections.abc import Sequence
from decimal import Decimal

import asyncpg
import pytest
from sqlalchemy import text

from app.domain.encoded_rows import Column, RowTemplate
from app.domain.prices import Order, Price, Source, TickerKey, TimeRange
from app.domain.slots import LatestLivePrice, Slot, floor_slot
from app.postgres.database import Database
from app.repositories import encoded_rows, prices
from app.repositories.prices import Extent, PriceId
from tests.conftest import Servers
from tests.repositories.rows import store
from tests.waiting import until

BTC = TickerKey("deribit", "btc_usd")
ETH = TickerKey("deribit", "eth_usd")
OTHER = TickerKey("other", "btc_usd")
SLOTS = RowTemplate((Column.TIMESTAMP,), separator=",")


def _slot(seconds: int) -> Slot:
    return floor_slot(seconds * 1_000_000, 1)


def _price(
    seconds: int, price: str = "1.5", key: TickerKey = BTC, source: Source = Source.LIVE
) -> Price:
    return Price(key, _slot(seconds), Decimal(price), seconds * 1_000_000 + 7, source)


async def _add(database: Database, rows: Sequence[Price]) -> set[PriceId]:
    async with database.transaction() as session:
        return await prices.insert_new(session, rows)


async def test_add_tells_which_slots_were_free(database: Database, sql: asyncpg.Connection) -> None:
    assert await _add(database, [_price(0), _price(60)]) == {
        PriceId(BTC, _slot(0)),
        PriceId(BTC, _slot(60)),
    }
    assert await _add(database, [_price(60), _price(120), _price(60, key=ETH)]) == {
        PriceId(BTC, _slot(120)),
        PriceId(ETH, _slot(60)),
    }
    assert await _add(database, []) == set()
    assert await sql.fetchval("SELECT count(*) FROM prices") == 4


async def test_doubles_in_one_batch_count_once_the_first(
    database: Database, sql: asyncpg.Connection
) -> None:
    added = await _add(database, [_price(60, "2"), _price(0), _price(60, "3"), _price(0)])
    assert added == {PriceId(BTC, _slot(0)), PriceId(BTC, _slot(60))}
    assert await sql.fetchval("SELECT price FROM prices WHERE timestamp = 60") == 2


async def test_row_that_exists_stays_as_it_is(database: Database, sql: asyncpg.Connection) -> None:
    await _add(database, [_price(60, "2")])
    before = await sql.fetchrow("SELECT * FROM prices")
    for source in Source:
        assert await _add(database, [_price(60, "3", source=source)]) == set()
    assert await sql.fetchrow("SELECT * FROM prices") == before


async def test_ten_thousand_rows_go_in_one_statement(
    database: Database, sql: asyncpg.Connection
) -> None:
    added = await _add(database, [_price(slot) for slot in range(10_000)])
    assert len(added) == await sql.fetchval("SELECT count(*) FROM prices") == 10_000


async def test_writers_with_rows_in_common_do_not_wait_for_one_another(
    database: Database, sql: asyncpg.Connection, servers: Servers, database_name: str
) -> None:
    """Each held a row that the other wanted, and PostgreSQL ended one of them."""
    common = [_price(slot) for slot in (10, 20)]
    middle = _price(15)
    blocker = sql.transaction()
    await blocker.start()
    await store(sql, [15])
    writers = [
        asyncio.create_task(_add(database, [common[0], middle, common[1]])),
        asyncio.create_task(_add(database, [common[1], middle, common[0]])),
    ]
    waiting = (
        "SELECT count(*) >= 2 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = $1"
    )
    watcher = await asyncpg.connect(servers.plain_url())
    await until(lambda: watcher.fetchval(waiting, database_name))
    await watcher.close()
    await blocker.rollback()
    added = await asyncio.gather(*writers)
    assert len(added[0]) + len(added[1]) == 3


async def test_newest_and_newest_at_a_moment(database: Database, sql: asyncpg.Connection) -> None:
    await store(sql, [60, 120], source="backfill")
    async with database.read_committed() as session:
        newest = await prices.newest(session, BTC)
        assert newest == Price(BTC, _slot(120), Decimal("60123.5"), 120_000_000, Source.BACKFILL)
        found = [await prices.newest(session, BTC, at_or_before=at) for at in (59, 60, 119, 120)]
        assert await prices.newest(session, ETH) is None
    assert [price and price.slot for price in found] == [None, 60, 60, 120]


async def test_live_edges_are_the_newest_live_rows_and_the_clock(
    database: Database, sql: asyncpg.Connection
) -> None:
    await store(sql, [60, 120])
    await store(sql, [180], source="backfill")
    await store(sql, [240], ticker="eth_usd", source="import")
    await store(sql, [300], exchange="other")
    async with database.read_committed() as session:
        clock_us, edges = await prices.read_latest_live(session, [BTC, ETH, OTHER])
        assert (await prices.read_latest_live(session, []))[1] == {}
    created = await sql.fetchval(
        "SELECT (extract(epoch FROM created_at) * 1000000)::bigint "
        "FROM prices WHERE timestamp = 120"
    )
    assert edges[BTC] == LatestLivePrice(_slot(120), 120_000_000, created)
    assert edges[OTHER].slot == 300
    assert ETH not in edges
    assert created <= clock_us < created + 60_000_000


async def test_keys_and_extents_tell_of_every_ticker(
    database: Database, sql: asyncpg.Connection
) -> None:
    async with database.read_committed() as session:
        assert (await prices.stored_tickers(session), await prices.extents(session)) == (set(), {})
    await store(sql, [60, 120, 180])
    await store(sql, [0], ticker="eth_usd")
    await store(sql, [30], exchange="other")
    async with database.read_committed() as session:
        assert await prices.stored_tickers(session) == {BTC, ETH, OTHER}
        assert await prices.extents(session) == {
            BTC: Extent(60, 180, 3),
            ETH: Extent(0, 0, 1),
            OTHER: Extent(30, 30, 1),
        }


async def test_reads_along_the_primary_key_sort_nothing(
    database: Database, sql: asyncpg.Connection, statements: list[str]
) -> None:
    for ticker in ("btc_usd", "eth_usd", "sol_usd"):
        await sql.execute(
            "INSERT INTO prices SELECT 'deribit', $1, n * 60, 1.5, n, 'live' "
            "FROM generate_series(1, 20000) n",
            ticker,
        )
    await sql.execute("ANALYZE prices")
    async with database.read_committed() as session:
        await prices.newest(session, BTC)
        await prices.newest(session, BTC, at_or_before=600)
        await prices.read_latest_live(session, [BTC, ETH])
        await prices.stored_tickers(session)
    async with database.raw_connection() as connection:
        await encoded_rows.read_page(
            connection, BTC, TimeRange(600, 90_000), Order.ASC, 1001, template=SLOTS
        )
        await encoded_rows.read_page(connection, BTC, TimeRange(), Order.DESC, 101, template=SLOTS)
        await encoded_rows.read_chunks(connection, BTC, range(0, 90_000, 7200), SLOTS, length=7200)
    plans = [await _plan(sql, statement) for statement in statements if "FROM prices" in statement]
    assert len(plans) == 7
    for plan in plans:
        assert '"prices_pkey"' in plan
        assert '"Sort"' not in plan
        assert '"Seq Scan"' not in plan


async def _plan(sql: asyncpg.Connection, statement: str) -> str:
    await sql.execute("SET plan_cache_mode = force_generic_plan")
    prepared = await sql.prepare(statement)
    arguments = []
    for kind in prepared.get_parameters():
        value = 10 if "int" in kind.name else "deribit"
        arguments.append([value] if kind.kind == "array" else value)
    return json.dumps(await prepared.explain(*arguments))


async def test_present_follows_the_newest_live_row(
    database: Database, sql: asyncpg.Connection
) -> None:
    await store(sql, [60, 7200])
    await store(sql, [7320, 90_000], source="import")
    async with database.read_committed() as session:
        found = await prices.estimate_exchange_now(session, [BTC, ETH])
        database_us, edges = await prices.read_latest_live(session, [BTC])
    estimate = edges[BTC].exchange_now_us(database_us)
    assert estimate is not None
    assert 0 <= estimate - found[BTC] < 10_000_000
    assert 0 <= database_us - found[ETH] < 10_000_000


async def test_edge_of_an_imported_ticker_is_looked_for_without_reading_its_rows(
    database: Database, sql: asyncpg.Connection
) -> None:
    await store(sql, range(0, 50_000 * 60, 600), source="import")
    await sql.execute("ANALYZE prices, price_hours")
    read = """
        SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname = 'prices')
             + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'prices')
    """
    async with database.read_committed() as session:
        await session.execute(text("SELECT pg_stat_force_next_flush()"))
        before = await sql.fetchval(read)
        assert (await prices.read_latest_live(session, [BTC]))[1] == {}
        await session.execute(text("SELECT pg_stat_force_next_flush()"))
    assert await sql.fetchval(read) == before


async def test_edge_is_the_live_row_stored_last_not_the_highest(
    database: Database, sql: asyncpg.Connection
) -> None:
    """The exchange's clock was half an hour ahead, and the database's was set back since."""
    now = await sql.fetchval("SELECT floor(extract(epoch FROM now()))::bigint / 60 * 60")
    for slot, seconds_ago in ((now - 120, 120), (now + 1800, 60), (now - 60, 90)):
        await store(sql, [slot])
        await sql.execute(
            "UPDATE prices SET created_at = now() - make_interval(secs => $2) WHERE timestamp = $1",
            slot,
            seconds_ago,
        )
    async with database.read_committed() as session:
        _, edges = await prices.read_latest_live(session, [BTC])
    assert edges[BTC].slot == now - 60


@pytest.mark.parametrize(
    "row",
    [
        "'deribit', 'odd', 60, 5, 0, 'manual'",
        "'deribit', 'odd', 60, 'NaN', 0, 'live'",
        "'deribit', 'odd', 60, 'Infinity', 0, 'live'",
        "'deribit', 'odd', 60, -5, 0, 'live'",
        "'deribit', 'odd', -60, 5, 0, 'live'",
        "'deribit', 'odd', 9223372036854775807, 5, 0, 'live'",
    ],
)
async def test_row_that_no_answer_can_be_made_of_is_refused_by_the_table(
    sql: asyncpg.Connection, row: str
) -> None:
    """One such row took the reads of every ticker away."""
    with pytest.raises(asyncpg.CheckViolationError):
        await sql.execute(f"INSERT INTO prices VALUES ({row})")  # noqa: S608  # rows of ours


@pytest.mark.parametrize("recording", ["60, 120, 0", "60, 120, 86401", "-60, 120, 60"])
async def test_recording_that_no_gap_can_be_found_by_is_refused_by_the_table(
    sql: asyncpg.Connection, recording: str
) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await sql.execute(f"INSERT INTO recordings VALUES ('deribit', 'odd', {recording})")  # noqa: S608  # same
