"""Imports into a real database: whole or not at all, once, and never over what is there."""

import asyncio
import gzip
import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import asyncpg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.core.errors import DatabaseUnavailable, ImportRefused
from app.domain.imports import BadRow, ImportProgress, ImportRequest, ImportResult
from app.domain.prices import TickerKey
from app.domain.recordings import Recording
from app.domain.slots import Slot
from app.postgres.database import Database
from app.repositories import recordings
from app.repositories.imports import StagingTable
from app.services import imports
from app.services.imports import ImportService
from tests.repositories.rows import store

BTC = TickerKey("deribit", "btc_usd")
T0 = 1_768_579_200
REQUEST = ImportRequest(None, "btc_usd", 60)
SKIPPING_REQUEST = ImportRequest(None, "btc_usd", 60, skips_bad_rows=True)
ROWS = "SELECT timestamp, price::text FROM prices ORDER BY exchange, ticker, timestamp"


async def _load(database: Database, path: Path, request: ImportRequest = REQUEST) -> ImportResult:
    return await ImportService(database).load(path, request, lambda _: None)


def _csv(path: Path, rows: list[tuple[object, object]]) -> Path:
    lines = [f"{stamp},{price}" for stamp, price in rows]
    path.write_text("\n".join(["timestamp,price", *lines]) + "\n")
    return path


async def _stored(sql: asyncpg.Connection) -> list[tuple[int, str]]:
    return [tuple(row) for row in await sql.fetch(ROWS)]


async def _recorded(sql: asyncpg.Connection) -> list[tuple[int, int | None, int]]:
    query = "SELECT first_slot, last_slot, interval_seconds FROM recordings ORDER BY first_slot"
    return [tuple(row) for row in await sql.fetch(query)]


async def test_rows_are_stored_as_imported_and_their_time_is_promised(
    database: Database, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    path = _csv(tmp_path / "a.csv", [(T0, "1.50"), (T0 + 120, "2")])
    imported = await _load(database, path)
    assert (imported.read, imported.added, imported.bad) == (2, 2, 0)
    assert imported.promised == [Recording(BTC, 60, Slot(T0), Slot(T0 + 120))]
    row = await sql.fetchrow("SELECT * FROM prices ORDER BY timestamp LIMIT 1")
    assert (row["exchange"], row["ticker"], row["timestamp"]) == ("deribit", "btc_usd", T0)
    assert (str(row["price"]), row["source"]) == ("1.50", "import")
    assert row["observed_us"] == T0 * 1_000_000
    assert await sql.fetchval("SELECT sum(imported) FROM price_hours") == 2


async def test_second_import_adds_nothing(
    database: Database, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    path = _csv(tmp_path / "a.csv", [(T0 + 60 * number, number + 1) for number in range(9)])
    await _load(database, path)
    again = await _load(database, path)
    assert (again.read, again.added, again.already_stored, again.promised) == (9, 0, 9, [])
    assert await _recorded(sql) == [(T0, T0 + 480, 60)]


async def test_rows_between_the_slots_of_a_recording_are_refused(
    database: Database, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    """No list and no count would expect them, and a complete hour would change."""
    await _load(database, _csv(tmp_path / "minutes.csv", [(T0, 1), (T0 + 60, 2)]))
    by_second = replace(REQUEST, interval_seconds=1, skips_bad_rows=True)
    path = _csv(tmp_path / "seconds.csv", [(T0 - 1, 3), (T0, 4), (T0 + 119, 5)])
    message = (
        f"{path}: deribit:btc_usd is recorded every 60 seconds at 2026-01-16T16:01:59Z: "
        "import that time with --interval 60"
    )
    with pytest.raises(ImportRefused, match=re.escape(message)):
        await _load(database, path, by_second)
    assert await _stored(sql) == [(T0, "1"), (T0 + 60, "2")]
    path = _csv(tmp_path / "around.csv", [(T0 - 1, 3), (T0 + 60, 4), (T0 + 120, 5)])
    await _load(database, path, by_second)
    assert [slot for slot, _ in await _stored(sql)] == [T0 - 1, T0, T0 + 60, T0 + 120]


async def test_what_is_stored_stays(
    database: Database, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    await store(sql, [T0 + 60], price="7.5")
    path = _csv(tmp_path / "a.csv", [(T0, 1), (T0 + 60, 2), (T0 + 120, 3)])
    imported = await _load(database, path)
    assert (imported.added, imported.already_stored) == (2, 1)
    assert await _stored(sql) == [(T0, "1"), (T0 + 60, "7.5"), (T0 + 120, "3")]


async def test_row_that_is_stored_at_the_same_moment_stays(
    database: Database, sql: asyncpg.Connection
) -> None:
    """Between the look and the storing, another writer may come."""
    async with database.autocommit_session() as session:
        staging = StagingTable(session)
        await staging.create()
        await staging.copy_rows(
            f"deribit,btc_usd,{T0},0,1,\nderibit,btc_usd,{T0 + 60},0,2,\n".encode()
        )
        (staged_range,) = await staging.build_index()
        assert not staged_range.has_stored_prices
        await store(sql, [T0], price="7.5")
        assert await staging.insert_block(staged_range, 0, 10) == (1, T0 + 60)
    assert await _stored(sql) == [(T0, "7.5"), (T0 + 60, "2")]


async def test_earliest_of_a_slot_wins_whatever_the_order(
    database: Database, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    stamps = [T0 + 119, T0 + 66, T0 + 6, T0 + 59, T0 + 60.5]
    path = _csv(tmp_path / "a.csv", [(round(1000 * stamp), stamp - T0) for stamp in stamps])
    await _load(database, path)
    assert await _stored(sql) == [(T0, "6"), (T0 + 60, "60.5")]


async def test_first_bad_row_ends_an_import_with_nothing_stored(
    database: Database, sql: asyncpg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "MAX_ROWS_PER_READ", 2)
    monkeypatch.setattr(imports, "MAX_ROWS_PER_TRANSACTION", 2)
    path = _csv(tmp_path / "a.csv", [(T0, 1), (T0 + 60, 2), (T0 + 120, 3), (T0 + 180, "x")])
    with pytest.raises(ImportRefused, match=r"a\.csv:5: price 'x' is no number"):
        await _load(database, path)
    assert await _stored(sql) == []
    assert await _recorded(sql) == []


async def test_bad_rows_are_skipped_and_listed_if_asked(
    database: Database, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    rows: list[tuple[object, object]] = [(T0 + 60 * number, "bad") for number in range(30)]
    path = _csv(tmp_path / "a.csv", [("", ""), *rows, (T0, 1)])
    text = path.read_text().replace("\n,\n", '\n\n"1,2\n')
    path.write_text(text)
    imported = await _load(database, path, SKIPPING_REQUEST)
    assert (imported.read, imported.added, imported.bad, imported.already_stored) == (32, 1, 31, 0)
    assert imported.first_bad[0] == BadRow(3, "has 1 columns instead of 2")
    assert imported.first_bad[1] == BadRow(4, "price 'bad' is no number")
    assert len(imported.first_bad) == 20
    assert await _stored(sql) == [(T0, "1")]


@pytest.mark.parametrize("packed", [False, True])
async def test_quotes_a_byte_order_mark_and_windows_lines_are_no_trouble(
    database: Database, sql: asyncpg.Connection, tmp_path: Path, *, packed: bool
) -> None:
    content = f'\ufeff"timestamp","price"\r\n"{T0}","1.5"\r\n{T0 + 60},2\r\n\r\n'.encode()
    path = tmp_path / "a.csv"
    path.write_bytes(gzip.compress(content) if packed else content)
    await _load(database, path)
    assert await _stored(sql) == [(T0, "1.5"), (T0 + 60, "2")]


@pytest.mark.parametrize("packed", [False, True])
async def test_parquet_is_read_whatever_its_types(
    database: Database, sql: asyncpg.Connection, tmp_path: Path, *, packed: bool
) -> None:
    path = tmp_path / "a.parquet"
    columns = {
        "note": ["x", "y"],
        "time": pa.array([T0 * 1000, T0 * 1000 + 60_500], pa.timestamp("ms")),
        "price": pa.array([Decimal("1.500"), Decimal(2)], pa.decimal128(38, 18)),
        "observed_us": pa.array([5, None], pa.int64()),
    }
    pq.write_table(pa.table(columns), path)
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    await _load(database, path)
    assert await _stored(sql) == [(T0, "1.5"), (T0 + 60, "2")]
    stamps = await sql.fetch("SELECT observed_us FROM prices ORDER BY timestamp")
    assert [row[0] for row in stamps] == [5, (T0 + 60) * 1_000_000]


async def test_small_prices_come_out_of_parquet_as_they_are(
    database: Database, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    """Arrow writes them as 1.20E-10."""
    prices = ["0.00000000012", "0.000000001", "1.5", "100", "0.0000012"]
    path = tmp_path / "a.parquet"
    columns = {
        "timestamp": [T0 + 60 * number for number in range(len(prices))],
        "price": pa.array(map(Decimal, prices), pa.decimal128(38, 18)),
    }
    pq.write_table(pa.table(columns), path)
    await _load(database, path)
    assert [price for _, price in await _stored(sql)] == prices


async def test_file_whose_every_row_is_of_another_ticker_is_refused(
    database: Database, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"ticker,timestamp,price\neth_usd,{T0},1.5\neth_usd,{T0 + 60},1.6\n")
    with pytest.raises(ImportRefused, match=r"a\.csv:2: ticker 'eth_usd' is not btc_usd"):
        await _load(database, path)
    imported = await ImportService(database).load(
        path, replace(REQUEST, skips_bad_rows=True), lambda _: None
    )
    assert (imported.read, imported.bad, imported.added) == (2, 2, 0)
    assert await _stored(sql) == []


async def test_bad_row_of_parquet_is_told_by_its_number(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"timestamp": [T0, T0 + 60], "price": [1.5, None]}), path)
    with pytest.raises(ImportRefused, match=r"a\.parquet:2: price '' is no number"):
        await _load(database, path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"price\n1\n",
        gzip.compress(b"timestamp,price\n60,1\n" * 9)[:-20],
        gzip.compress(b"timestamp,price\n")[:5],
        b"PAR1 and nothing more",
    ],
    ids=["empty", "no_timestamp", "cut", "cut_in_its_head", "parquet_cut"],
)
async def test_broken_file_is_refused(
    database: Database, sql: asyncpg.Connection, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(ImportRefused, match=r"a\.csv"):
        await _load(database, path)
    assert await _stored(sql) == []


async def test_several_tickers_of_a_file_are_each_recorded(
    database: Database, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "exchange,ticker,timestamp,price,source\n"
        f"deribit,eth_usd,{T0},2,live\nderibit,btc_usd,{T0},1,live\nother,btc_usd,{T0},3,live\n"
    )
    imported = await _load(database, path, ImportRequest(None, None, 60))
    assert [str(recording.key) for recording in imported.promised] == [
        *("deribit:btc_usd", "deribit:eth_usd", "other:btc_usd")
    ]
    assert [price for _, price in await _stored(sql)] == ["1", "2", "3"]


async def test_only_what_nothing_records_is_promised(
    database: Database, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    async with database.transaction() as session:
        first, last = Slot(T0 + 120), Slot(T0 + 180)
        await recordings.upsert(session, [Recording(BTC, 60, first, last)])
        await recordings.upsert(session, [Recording(BTC, 30, Slot(T0 + 360))])
    path = _csv(tmp_path / "a.csv", [(T0, 1), (T0 + 600, 2)])
    await _load(database, path)
    assert await _recorded(sql) == [
        (T0, T0 + 60, 60),
        (T0 + 120, T0 + 180, 60),
        (T0 + 240, T0 + 300, 60),
        (T0 + 360, None, 30),
    ]


async def test_import_that_was_cut_off_is_done_again(
    database: Database, sql: asyncpg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "MAX_ROWS_PER_READ", 2)
    monkeypatch.setattr(imports, "MAX_ROWS_PER_TRANSACTION", 2)
    path = _csv(tmp_path / "a.csv", [(T0 + 60 * number, number + 1) for number in range(9)])

    def cancel_halfway(progress: ImportProgress) -> None:
        if progress.stored == 4:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await ImportService(database).load(path, REQUEST, cancel_halfway)
    assert len(await _stored(sql)) == 4
    imported = await _load(database, path)
    assert (imported.added, imported.already_stored) == (5, 4)
    assert await _recorded(sql) == [(T0, T0 + 480, 60)]


async def test_progress_rises_to_the_end(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "MAX_ROWS_PER_READ", 3)
    monkeypatch.setattr(imports, "MAX_ROWS_PER_TRANSACTION", 3)
    path = _csv(tmp_path / "a.csv", [(T0 + 60 * number, number + 1) for number in range(9)])
    reports: list[ImportProgress] = []
    await ImportService(database).load(path, REQUEST, reports.append)
    fractions = [progress.fraction for progress in reports]
    assert fractions == sorted(fractions)
    assert reports[-1] == ImportProgress(path, 1.0, 9, 9)


async def test_connection_that_breaks_is_the_database_that_is_away(
    database: Database, sql: asyncpg.Connection
) -> None:
    async def copy_over_a_broken_connection() -> None:
        async with database.autocommit_session() as session:
            staging = StagingTable(session)
            await staging.create()
            await sql.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'prices' AND datname = current_database()"
            )
            await staging.copy_rows(b"deribit,btc_usd,0,0,1,\n")

    with pytest.raises(DatabaseUnavailable):
        await copy_over_a_broken_connection()


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (pa.list_(pa.int64()), [60], "its column price holds list, not one value"),
        (pa.struct({"x": pa.int64()}), {"x": 60}, "its column price holds struct, not one value"),
        (pa.map_(pa.string(), pa.int64()), [("x", 60)], "its column price holds map, not one"),
    ],
)
async def test_column_of_parquet_that_holds_no_single_values_is_named(
    database: Database, tmp_path: Path, kind: object, value: object, message: str
) -> None:
    path = tmp_path / "a.parquet"
    columns = {"timestamp": pa.array([60]), "price": pa.array([value], kind)}
    pq.write_table(pa.table(columns), path)
    await _assert_refused(database, path, f"{path}: {message}")


async def test_column_that_is_there_twice_is_named(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    stamp, price = pa.array([60]), pa.array(["1"])
    for names in (["timestamp", "price", "price"], ["timestamp", "price", "PRICE "]):
        pq.write_table(pa.Table.from_arrays([stamp, price, price], names=names), path)
        await _assert_refused(database, path, f"{path}: it has the column price twice")
    for head, name in (("timestamp,price,price", "price"), ("price,time,Time ", "time")):
        (tmp_path / "a.csv").write_text(f"{head}\n60,1,2\n")
        await _assert_refused(
            database, tmp_path / "a.csv", f"a.csv: it has the column {name} twice"
        )


async def test_other_columns_may_hold_anything(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    lists = pa.array([[1, 2]])
    names = ["timestamp", "price", "book", "book", "price.depth"]
    table = pa.Table.from_arrays(
        [pa.array([60]), pa.array(["1"]), lists, lists, lists], names=names
    )
    pq.write_table(table, path)
    imported = await _load(database, path)
    assert imported.added == 1


async def _assert_refused(database: Database, path: Path, message: str) -> None:
    with pytest.raises(ImportRefused) as caught:
        await _load(database, path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_rows_after_the_last_due_slot_are_refused_by_their_lines(
    database: Database, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    """As of a file in local time that is read as UTC: live prices would find their slots taken."""
    now = await sql.fetchval("SELECT floor(extract(epoch FROM now()))::bigint")
    slot = now // 60 * 60
    await sql.execute(
        "INSERT INTO recordings (exchange, ticker, first_slot, interval_seconds)"
        " VALUES ('deribit', 'btc_usd', $1, 60)",
        slot - 3_600,
    )
    path = _csv(tmp_path / "a.csv", [(slot - 180, 1), (slot, 2), (slot + 1_800, 3)])
    imported = await _load(database, path, SKIPPING_REQUEST)
    assert (imported.added, imported.bad) == (1, 2)
    assert [row.line for row in imported.first_bad] == [3, 4]
    assert "lies after the last slot that is due" in imported.first_bad[0].fault
    assert "lies in the future" in imported.first_bad[1].fault
    assert await _stored(sql) == [(slot - 180, "1")]


async def test_rows_of_a_ticker_that_nobody_records_are_taken_up_to_now(
    database: Database, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    now = await sql.fetchval("SELECT floor(extract(epoch FROM now()))::bigint")
    path = _csv(tmp_path / "a.csv", [(now, 1), (now + 600, 2)])
    imported = await _load(database, path, SKIPPING_REQUEST)
    assert (imported.added, imported.bad) == (1, 1)
