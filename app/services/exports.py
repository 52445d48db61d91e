"""Exports: a ticker's rows as a stream of bytes, of any length in little memory."""

import asyncio
import zlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from app.core.errors import TooManyExports
from app.core.prefetch import prefetch
from app.domain.exports import Export, ExportFormat
from app.domain.prices import TickerKey, TimeRange
from app.files.layouts import TextLayout, csv_layout, ndjson_layout
from app.files.parquet import ParquetWriter
from app.postgres.database import Database
from app.repositories import encoded_rows, exports

MAX_CONCURRENT: Final = 16
"""Streams of one process; each holds two blocks and no connection while its reader reads."""
CONNECTIONS: Final = 3
LINES_AT_ONCE: Final = 10_000
ROWS_OF_A_GROUP: Final = 50_000
"""Of a Parquet file."""
GZIP_LEVEL: Final = 5
GZIP_WINDOW: Final = 31


class ExportService:
    """Writes what is stored into streams; a process has one."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._places = asyncio.Semaphore(MAX_CONCURRENT)
        self._connections = asyncio.Semaphore(CONNECTIONS)

    async def prepare(self, key: TickerKey, span: TimeRange, form: ExportFormat) -> Export:
        """Look what there is to export; what comes after its present end is left out.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        async with self._database.read() as session:
            stored = await exports.stored_range(session, key, span)
            if stored is None or form is not ExportFormat.PARQUET:
                return Export(key, form, span, stored, has_decimals=True)
            fits = await exports.fits_decimal(session, key, stored)
        return Export(key, form, span, stored, has_decimals=fits)

    async def stream(self, export: Export, *, packed: bool = False) -> AsyncGenerator[bytes, None]:
        """Write the file piece by piece, gzipped if asked; rows ascend.

        Raises:
            TooManyExports: before the first piece, when as many as are allowed are under way.
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        if self._places.locked():
            raise TooManyExports(f"{MAX_CONCURRENT} exports are under way: try again later")
        async with self._places, aclosing(self._file(export, packed=packed)) as pieces:
            async for piece in pieces:
                yield piece

    def _file(self, export: Export, *, packed: bool) -> AsyncGenerator[bytes, None]:
        plain = self._plain(export)
        return _gzipped(plain) if packed else plain

    def _plain(self, export: Export) -> AsyncGenerator[bytes, None]:
        match export.file_format:
            case ExportFormat.CSV:
                return self._text(export, csv_layout(export.key))
            case ExportFormat.NDJSON:
                return self._text(export, ndjson_layout(export.key))
            case ExportFormat.PARQUET:
                return self._parquet(export)

    async def _text(self, export: Export, layout: TextLayout) -> AsyncGenerator[bytes, None]:
        head = layout.head.encode()
        async with aclosing(self._blocks(export, layout, LINES_AT_ONCE)) as blocks:
            async for block in blocks:
                yield head + block
                head = b""
        if head:
            yield head

    async def _parquet(self, export: Export) -> AsyncGenerator[bytes, None]:
        layout = csv_layout(export.key)
        writer = await asyncio.to_thread(ParquetWriter, has_decimals=export.has_decimals)
        async with aclosing(self._blocks(export, layout, ROWS_OF_A_GROUP)) as blocks:
            async for block in blocks:
                yield await asyncio.to_thread(writer.add, block)
        yield await asyncio.to_thread(writer.finish)

    def _blocks(self, export: Export, layout: TextLayout, size: int) -> AsyncGenerator[bytes, None]:
        """Read block after block, the next one while one is on its way."""
        rest = export.stored

        async def step() -> bytes | None:
            nonlocal rest
            if rest is None:
                return None
            async with self._connections, self._database.raw_connection() as connection:
                block = await encoded_rows.read_batch(
                    connection, export.key, rest, size, layout.lines
                )
            if block is None:
                return None
            rest = TimeRange(block.last + 1, rest.end)
            return layout.whole(block.text)

        return prefetch(step)


async def _gzipped(plain: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    packer = zlib.compressobj(GZIP_LEVEL, wbits=GZIP_WINDOW)
    async with aclosing(plain) as pieces:
        async for piece in pieces:
            if packed := await asyncio.to_thread(packer.compress, piece):
                yield packed
    yield packer.flush()
