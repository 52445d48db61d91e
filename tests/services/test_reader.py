"""The reader: what is stored, and what it costs to read."""

import asyncio

import asyncpg
import pytest

from app.core.errors import NoPriceNear, NoPriceYet, PriceTooOld, TickerNotFound
from app.domain.encoded_rows import Column, RowTemplate
from app.domain.prices import Order, TickerKey, TickerSummary, TimeRange
from app.postgres.database import Database
from app.services.reader import PriceReader, ReadCache
from tests.repositories.rows import store

BTC = TickerKey("deribit", "btc_usd")
OLD = TickerKey("deribit", "old_usd")
NOPE = TickerKey("deribit", "nope_usd")
SLOTS = RowTemplate((Column.TIMESTAMP,), separator=" ")


@pytest.fixture
def reader(database: Database) -> PriceReader:
    return PriceReader(database, ReadCache(database, SLOTS, 0), frozenset({BTC}), 60)


async def _add_recording(sql: asyncpg.Connection, last: int | None, interval: int) -> None:
    await sql.execute(
        "INSERT INTO recordings VALUES ('deribit', 'old_usd', 0, $1, $2)", last, interval
    )


async def test_reads_of_a_configured_ticker_take_one_statement_each(
    reader: PriceReader, sql: asyncpg.Connection, statements: list[str]
) -> None:
    await store(sql, [60, 120])
    for read in (
        lambda: reader.read_at(BTC, 130),
        lambda: reader.read_page(BTC, TimeRange(), Order.ASC, 1),
        lambda: reader.read_page(BTC, TimeRange(900), Order.DESC, 1),
    ):
        statements.clear()
        await read()
        await asyncio.sleep(0)  # the driver tells of a query in the loop's next turn
        assert len(statements) == 1
    await reader.read_latest(BTC, 130.0, 100)
    statements.clear()
    await reader.read_latest(BTC, 130.0, 100)
    await asyncio.sleep(0)
    assert statements == [], "the cache answers"


async def test_list_of_tickers_takes_two_statements_however_many_there_are(
    reader: PriceReader, sql: asyncpg.Connection, statements: list[str]
) -> None:
    for number in range(20):
        await store(sql, [60], ticker=f"t{number}_usd")
    assert len(await reader.list_tickers()) == 21
    assert len(statements) == 2


async def test_page_knows_whether_there_are_more(
    reader: PriceReader, sql: asyncpg.Connection
) -> None:
    await store(sql, [0, 60, 120])
    for limit, has_more in ((1, True), (2, True), (3, False), (4, False)):
        page = await reader.read_page(BTC, TimeRange(), Order.DESC, limit)
        assert (page.count, page.has_more) == (min(limit, 3), has_more)
        assert b" ".join(page.pieces) == b" ".join([b"120", b"60", b"0"][: page.count])
    empty = await reader.read_page(BTC, TimeRange(500), Order.ASC, 1)
    assert (list(empty.pieces), empty.count, empty.has_more) == ([], 0, False)


async def test_age_counts_whole_seconds_of_the_readers_clock(
    reader: PriceReader, sql: asyncpg.Connection
) -> None:
    await store(sql, [60])
    for now, age, stale in (
        (60.0, 0, False),
        (60.9, 0, False),
        (180.9, 120, False),
        (181.0, 121, True),
        (0.0, 0, False),
    ):
        latest = await reader.read_latest(BTC, now)
        assert (latest.age_seconds, latest.is_stale) == (age, stale), now


async def test_requested_age_is_inclusive(reader: PriceReader, sql: asyncpg.Connection) -> None:
    await store(sql, [60])
    assert (await reader.read_latest(BTC, 100.0, 40)).age_seconds == 40
    with pytest.raises(PriceTooOld, match="41 s old"):
        await reader.read_latest(BTC, 101.0, 40)


async def test_recorded_ticker_is_judged_by_its_own_interval(
    reader: PriceReader, sql: asyncpg.Connection
) -> None:
    await store(sql, [0], ticker="old_usd")
    await _add_recording(sql, 600, 3600)
    assert not (await reader.read_latest(OLD, 7200.0)).is_stale
    assert (await reader.read_latest(OLD, 7201.0)).is_stale
    assert (await reader.read_at(OLD, 7200)).slot == 0
    with pytest.raises(NoPriceNear):
        await reader.read_at(OLD, 7201)


async def test_what_is_known_of_a_ticker_decides_the_error(
    reader: PriceReader, sql: asyncpg.Connection
) -> None:
    with pytest.raises(NoPriceYet):
        await reader.read_latest(BTC, 0)
    with pytest.raises(TickerNotFound, match=r"known are deribit:btc_usd$"):
        await reader.read_latest(NOPE, 0)
    with pytest.raises(TickerNotFound):
        await reader.read_at(NOPE, 0)
    with pytest.raises(TickerNotFound):
        await reader.read_page(NOPE, TimeRange(), Order.ASC, 1)
    await _add_recording(sql, 600, 60)
    with pytest.raises(NoPriceYet):
        await reader.read_latest(OLD, 0)


async def test_tickers_are_those_configured_recorded_or_stored(
    reader: PriceReader, sql: asyncpg.Connection
) -> None:
    assert await reader.list_tickers() == [TickerSummary(BTC, True, 60, None, None, 0)]  # noqa: FBT003
    await _add_recording(sql, 600, 30)
    await store(sql, [0, 60], ticker="old_usd")
    assert (await reader.list_tickers())[1] == TickerSummary(OLD, False, 30, 0, 60, 2)  # noqa: FBT003
    await sql.execute("UPDATE recordings SET last_slot = NULL")
    assert (await reader.list_tickers())[1].active
