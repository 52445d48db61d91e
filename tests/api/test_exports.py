"""Files of any length, streamed: exact, in order, resumable, and cut where they break."""

import asyncio
import csv
import gzip
import io
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from decimal import Decimal

import asyncpg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.api.routes import exports as route
from app.core.settings import Settings
from app.domain.exports import ExportFormat
from app.domain.prices import TickerKey, TimeRange
from app.runtime import Runtime
from app.services import exports
from tests.api.client import ApiClient, running_api
from tests.repositories.rows import store
from tests.waiting import until

T0 = 1_768_579_200
SLOTS = [T0 + 60 * number for number in range(25)]
URL = "/api/v1/prices/export?ticker=btc_usd"
PLAIN = {"Accept-Encoding": "identity"}
INSERT_MANY = """
INSERT INTO prices (exchange, ticker, timestamp, price, observed_us, source)
SELECT 'deribit', 'btc_usd', $1 + 60 * n, 50000 + n % 997 / 8.0, 0, 'import'
FROM generate_series(0, $2::bigint - 1) AS n
"""
EXACT_PRICES = ["1", "1.50", "0.000000000000000001", "999999999999.123456789012345678"]


@pytest.fixture
async def exact_prices(sql: asyncpg.Connection) -> None:
    for slot, price in zip(SLOTS, EXACT_PRICES, strict=False):
        await store(sql, [slot], price=price)


@pytest.mark.usefixtures("exact_prices")
async def test_csv_has_a_head_and_exact_digits(api: ApiClient) -> None:
    answer = await api.get(URL, **PLAIN)
    assert answer.body.decode() == "exchange,ticker,timestamp,price,source\n" + "".join(
        f"deribit,btc_usd,{slot},{price},live\n"
        for slot, price in zip(SLOTS, EXACT_PRICES, strict=False)
    )
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert answer.headers["content-disposition"] == (
        'attachment; filename="deribit-btc_usd-20260116T160000Z-20260116T160300Z.csv"'
    )
    assert "content-encoding" not in answer.headers


@pytest.mark.usefixtures("exact_prices")
async def test_ndjson_has_an_object_a_line(api: ApiClient) -> None:
    answer = await api.get(f"{URL}&format=ndjson")
    lines = answer.body.splitlines()
    assert lines[1] == (
        b'{"exchange":"deribit","ticker":"btc_usd","timestamp":1768579260,'
        b'"price":1.50,"source":"live"}'
    )
    assert [str(json.loads(line, parse_float=str)["price"]) for line in lines] == EXACT_PRICES
    assert answer.headers["content-type"] == "application/x-ndjson"


@pytest.mark.usefixtures("exact_prices")
async def test_parquet_has_decimals_where_all_prices_fit(api: ApiClient) -> None:
    answer = await api.get(f"{URL}&format=parquet", **PLAIN)
    table = pq.read_table(io.BytesIO(answer.body))
    assert table.schema.names == ["exchange", "ticker", "timestamp", "price", "source"]
    assert table.schema.field("price").type == pa.decimal128(38, 18)
    assert table.column("price").to_pylist() == [Decimal(price) for price in EXACT_PRICES]
    assert table.column("timestamp").to_pylist() == SLOTS[:4]
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"


@pytest.mark.parametrize("odd", ["0.0000000000000000001", "123456789012345678901"])
async def test_parquet_has_text_where_a_price_does_not_fit(
    api: ApiClient, sql: asyncpg.Connection, odd: str
) -> None:
    await store(sql, SLOTS[:1], price="1.50")
    await store(sql, SLOTS[1:2], price=odd)
    answer = await api.get(f"{URL}&format=parquet", **PLAIN)
    assert pq.read_table(io.BytesIO(answer.body)).column("price").to_pylist() == ["1.50", odd]
    fitting = await api.get(f"{URL}&format=parquet&to_dt={T0}", **PLAIN)
    schema = pq.read_schema(io.BytesIO(fitting.body))
    assert schema.field("price").type == pa.decimal128(38, 18)


async def test_blocks_join_without_a_seam(
    api: ApiClient, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store(sql, SLOTS)
    for size in (1, 7, 24, 25, 26):
        monkeypatch.setattr(exports, "ROWS_PER_BATCH", size)
        monkeypatch.setattr(exports, "ROWS_PER_PARQUET_GROUP", size)
        answer = await api.get(URL)
        rows = list(csv.DictReader(io.StringIO(answer.body.decode())))
        assert [int(row["timestamp"]) for row in rows] == SLOTS
        parquet = await api.get(f"{URL}&format=parquet", **PLAIN)
        table = pq.read_table(io.BytesIO(parquet.body))
        assert table.column("timestamp").to_pylist() == SLOTS


async def test_both_bounds_are_inclusive_and_the_next_second_resumes(
    api: ApiClient, sql: asyncpg.Connection
) -> None:
    await store(sql, SLOTS)
    whole = (await api.get(URL)).body
    part = await api.get(f"{URL}&to_dt={SLOTS[9]}")
    rest = await api.get(f"{URL}&from_dt={SLOTS[9] + 1}")
    assert part.body + rest.body.partition(b"\n")[2] == whole
    name = rest.headers["content-disposition"]
    assert 'filename="deribit-btc_usd-20260116T160901Z-20260116T162400Z.csv"' in name


async def test_text_is_gzipped_when_asked(api: ApiClient, sql: asyncpg.Connection) -> None:
    await store(sql, SLOTS)
    for kind in ("csv", "ndjson"):
        plain = await api.get(f"{URL}&format={kind}", **PLAIN)
        packed = await api.get(f"{URL}&format={kind}", **{"Accept-Encoding": "br, gzip;q=0.5"})
        assert "content-encoding" not in plain.headers
        assert packed.headers["content-encoding"] == "gzip"
        assert "Accept-Encoding" in packed.headers["vary"]
        assert packed.body == plain.body  # the client unpacked it


async def test_nothing_stored_is_a_file_without_rows(api: ApiClient) -> None:
    answer = await api.get(URL)
    assert (answer.status, answer.body) == (200, b"exchange,ticker,timestamp,price,source\n")
    assert 'filename="deribit-btc_usd.csv"' in answer.headers["content-disposition"]
    assert (await api.get(f"{URL}&format=ndjson")).body == b""
    parquet = await api.get(f"{URL}&format=parquet", **PLAIN)
    assert pq.read_table(io.BytesIO(parquet.body)).num_rows == 0


async def test_what_makes_no_sense_is_told_before_the_stream(api: ApiClient) -> None:
    unknown = await api.get("/api/v1/prices/export?ticker=nope")
    assert (unknown.status, unknown.code) == (404, "ticker_not_found")
    assert set((await api.get(f"{URL}&format=xml")).errors_by_parameter) == {"format"}
    assert set((await api.get(f"{URL}&from_dt=2&to_dt=1")).errors_by_parameter) == {"from_dt"}
    assert set((await api.get("/api/v1/prices/export")).errors_by_parameter) == {"ticker"}


async def test_rows_written_meanwhile_come_once_or_not_at_all(
    runtime: Runtime, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "ROWS_PER_BATCH", 4)
    await store(sql, SLOTS[::2])
    key = TickerKey("deribit", "btc_usd")
    export = await runtime.exports.prepare(key, TimeRange(), ExportFormat.CSV)
    lines: list[bytes] = []
    async with aclosing(runtime.exports.stream(export)) as pieces:
        async for piece in pieces:
            lines += piece.splitlines()
            if len(lines) == 5:
                await store(sql, SLOTS[1::2])
                await store(sql, [SLOTS[-1] + 60])
    timestamps = [int(line.split(b",")[2]) for line in lines[1:]]
    assert timestamps == sorted(set(timestamps))
    assert set(SLOTS[::2]) <= set(timestamps) <= set(SLOTS)


@pytest.fixture
async def many_rows(sql: asyncpg.Connection) -> None:
    """More rows than the buffers between the service and a client can hold."""
    await sql.execute(INSERT_MANY, T0, 600_000)


@pytest.fixture
async def slow_reader(settings: Settings) -> AsyncIterator["SlowReader"]:
    async with running_api(settings) as api, AsyncExitStack() as stack:
        yield SlowReader(api, stack)


class SlowReader:
    """A client that starts an export and reads it later."""

    def __init__(self, api: ApiClient, stack: AsyncExitStack) -> None:
        self.api = api
        self._stack = stack

    async def start_export(self) -> asyncio.StreamReader:
        _, host = self.api.url.split("//")
        name, port = host.split(":")
        reader, writer = await asyncio.open_connection(name, int(port), limit=1024)
        self._stack.callback(writer.close)
        writer.write(f"GET {URL} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert b"200" in await reader.readline()
        return reader


def _is_complete(sent: bytes) -> bool:
    return sent.endswith(b"0\r\n\r\n")


BUSY_CONNECTIONS = """
SELECT count(*) FROM pg_stat_activity
WHERE state <> 'idle' AND pid <> pg_backend_pid() AND datname = current_database()
"""


@pytest.mark.usefixtures("many_rows")
async def test_client_that_reads_slowly_gets_everything_and_holds_no_connection(
    slow_reader: SlowReader, sql: asyncpg.Connection
) -> None:
    reader = await slow_reader.start_export()

    async def is_no_connection_busy() -> bool:
        return bool(await sql.fetchval(BUSY_CONNECTIONS) == 0)

    await until(is_no_connection_busy)
    assert (await slow_reader.api.get("/api/v1/prices/latest?ticker=btc_usd")).status == 200
    sent = await _until_end(reader)
    assert _is_complete(sent)
    assert re.sub(rb"\r\n[0-9a-f]+\r\n", b"", sent).count(b",import\n") == 600_000


async def _until_end(reader: asyncio.StreamReader) -> bytes:
    """Read until the last chunk came, or the server cut the connection."""
    sent = bytearray()
    while piece := await reader.read(65_536):
        sent += piece
        if _is_complete(bytes(sent[-5:])):
            break
    return bytes(sent)


@pytest.mark.usefixtures("many_rows")
async def test_client_that_reads_no_more_is_cut_off(
    slow_reader: SlowReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route, "SEND_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(exports, "MAX_CONCURRENT", 1)
    reader = await slow_reader.start_export()
    await asyncio.sleep(1.5)
    assert not _is_complete(await _until_end(reader))


@pytest.mark.usefixtures("many_rows")
async def test_failure_in_the_middle_cuts_the_connection(
    slow_reader: SlowReader, sql: asyncpg.Connection
) -> None:
    reader = await slow_reader.start_export()
    await sql.execute("DROP TABLE prices")
    assert not _is_complete(await _until_end(reader))


@pytest.mark.usefixtures("many_rows")
async def test_too_many_at_once_are_told_to_come_again(slow_reader: SlowReader) -> None:
    readers = [await slow_reader.start_export() for _ in range(exports.MAX_CONCURRENT)]
    refused = await slow_reader.api.get(URL)
    assert (refused.status, refused.code) == (429, "too_many_exports")
    assert refused.headers["retry-after"]
    assert _is_complete(await _until_end(readers[0]))
    assert (await slow_reader.api.get(f"{URL}&to_dt={T0}")).status == 200


@pytest.mark.usefixtures("exact_prices")
async def test_gzip_is_a_whole_gzip_file(runtime: Runtime) -> None:
    key = TickerKey("deribit", "btc_usd")
    export = await runtime.exports.prepare(key, TimeRange(), ExportFormat.CSV)
    packed = b"".join([piece async for piece in runtime.exports.stream(export, gzipped=True)])
    plain = b"".join([piece async for piece in runtime.exports.stream(export)])
    assert gzip.decompress(packed) == plain
