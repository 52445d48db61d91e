"""Prices as lines that the database writes."""

import asyncpg

from app.domain.encoded_rows import Column, EncodedChunk, EncodedPage, RowTemplate
from app.domain.prices import Order, TickerKey, TimeRange
from app.postgres.database import Database
from app.repositories import encoded_rows
from tests.repositories.rows import store

BTC = TickerKey("deribit", "btc_usd")
TEMPLATE = RowTemplate((Column.TIMESTAMP, "=", Column.PRICE, "/", Column.SOURCE), separator=";")


async def _page(
    database: Database, span: TimeRange, order: Order = Order.ASC, limit: int = 10
) -> EncodedPage:
    async with database.raw_connection() as connection:
        return await encoded_rows.read_page(connection, BTC, span, order, limit, template=TEMPLATE)


async def _read_chunks(database: Database, starts: range) -> list[EncodedChunk]:
    async with database.raw_connection() as connection:
        return await encoded_rows.read_chunks(connection, BTC, starts, TEMPLATE, length=starts.step)


async def test_lines_have_exactly_the_digits_that_are_stored(
    database: Database, sql: asyncpg.Connection
) -> None:
    digits = ("1.50", "60123.456789", "0.000000001", "12345678901234567890.123456789", "7")
    for slot, price in enumerate(digits):
        await store(sql, [slot * 60], price=price, source="import")
    page = await _page(database, TimeRange())
    lines_wanted = [f"{60 * slot}={price}/import" for slot, price in enumerate(digits)]
    assert b"".join(page.pieces).decode() == ";".join(lines_wanted)
    assert (page.count, page.last, page.has_more) == (5, 240, False)


async def test_page_reads_an_inclusive_span_in_both_directions(
    database: Database, sql: asyncpg.Connection
) -> None:
    await store(sql, [0, 60, 120, 180])
    await store(sql, [60], ticker="eth_usd")
    await store(sql, [60], exchange="other")
    expected = {
        (TimeRange(), Order.ASC, 2): ([0, 60], True),
        (TimeRange(), Order.DESC, 2): ([180, 120], True),
        (TimeRange(60, 120), Order.ASC, 2): ([60, 120], False),
        (TimeRange(61), Order.ASC, 9): ([120, 180], False),
        (TimeRange(None, 119), Order.DESC, 9): ([60, 0], False),
        (TimeRange(61, 119), Order.ASC, 9): ([], False),
        (TimeRange(120, 60), Order.ASC, 9): ([], False),
    }
    for (span, order, limit), (slots, has_more) in expected.items():
        page = await _page(database, span, order, limit)
        text = b";".join(page.pieces).decode()
        assert [int(line.partition("=")[0]) for line in text.split(";") if line] == slots
        assert (page.count, page.has_more) == (len(slots), has_more)
        assert page.last == (slots[-1] if slots else None)


async def test_lines_can_be_cut_anywhere(database: Database, sql: asyncpg.Connection) -> None:
    for slot in range(8):
        await store(sql, [slot * 60], price="9" * (slot + 1))
    whole = [f"{60 * slot}={'9' * (slot + 1)}/live" for slot in range(8)]
    (found,) = await _read_chunks(database, range(0, 480, 480))
    assert (found.text.decode(), found.count, found.last) == (";".join(whole), 8, 420)
    for first in range(8):
        assert found.slot(first) == 60 * first
        for stop in range(first, 9):
            assert found.slice(first, stop).decode() == ";".join(whole[first:stop])
    assert found.index_range(TimeRange(61, 180)) == (2, 4)
    assert found.index_range(TimeRange(500, 600)) == (8, 8)
    assert found.index_range(TimeRange()) == (0, 8)


async def test_stretches_follow_one_another(database: Database, sql: asyncpg.Connection) -> None:
    await store(sql, [0, 60, 119, 120, 360, 480], price="5")
    found = await _read_chunks(database, range(0, 480, 120))
    assert [stretch.text.decode() for stretch in found] == [
        "0=5/live;60=5/live;119=5/live",
        "120=5/live",
        "",
        "360=5/live",
    ]
    assert [(stretch.count, stretch.last) for stretch in found] == [
        (3, 119),
        (1, 120),
        (0, None),
        (1, 360),
    ]
    assert len({stretch.tag for stretch in found}) == 4


async def test_chunk_is_on_the_grid_if_all_its_slots_are(
    database: Database, sql: asyncpg.Connection
) -> None:
    await store(sql, [0, 60, 119, 120, 180, 240], price="5")
    async with database.raw_connection() as connection:
        found = await encoded_rows.read_chunks(
            connection, BTC, [0, 120, 240, 360], TEMPLATE, length=120, grid_seconds=60
        )
    assert [chunk.grid_seconds for chunk in found] == [1, 60, 60, 60]


async def test_nothing_stored_has_no_lines(database: Database) -> None:
    (found,) = await _read_chunks(database, range(0, 60, 60))
    assert (found.text, found.count, found.index_range(TimeRange(1, 2))) == (b"", 0, (0, 0))
    assert (await _page(database, TimeRange())).pieces == []
