"""Exports: a ticker's rows as a stream of bytes, of any length in little memory."""

import asyncio
import zlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from app.core.errors import TooManyExports
from app.core.prefetch import prefetch
from app.domain.as_of import limit_to_known
from app.domain.export_manifests import ExportDigest
from app.domain.exports import Export, ExportFormat
from app.domain.prices import TickerKey, TimeRange
from app.files.parquet import ParquetWriter
from app.files.text_layouts import TextLayout, csv_layout, ndjson_layout
from app.postgres.database import Database
from app.repositories import creation_times, encoded_rows, export_facts

MAX_CONCURRENT: Final = 16
"""Streams of one process; a stream holds two batches, and a connection only while it reads."""
MAX_CONNECTIONS: Final = 3
ROWS_PER_BATCH: Final = 10_000
ROWS_PER_PARQUET_GROUP: Final = 50_000
GZIP_LEVEL: Final = 5
GZIP_WBITS: Final = 31
"""The largest window, with a gzip header."""


class ExportService:
    """Exports stored prices as streams; a process has one."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._permits = asyncio.Semaphore(MAX_CONCURRENT)
        self._connections = asyncio.Semaphore(MAX_CONNECTIONS)

    async def prepare(
        self,
        key: TickerKey,
        time_range: TimeRange,
        form: ExportFormat,
        as_of_us: int | None = None,
    ) -> Export:
        """Find the rows of a range; rows that are added after the last of them are not exported.

        With `as_of_us`, only rows that were stored by that moment are exported.

        Raises:
            ParametersInvalid: `as_of_us` is still to come.
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        known = limit_to_known(time_range, as_of_us)
        async with self._database.read_committed() as session:
            await creation_times.refuse_future(session, as_of_us)
            stored = await export_facts.stored_range(session, key, known, as_of_us)
            fits = (
                stored is None
                or form is not ExportFormat.PARQUET
                or await export_facts.fits_decimal(session, key, stored, as_of_us)
            )
        return Export(key, form, time_range, stored, has_decimals=fits, as_of_us=as_of_us)

    async def measure(self, export: Export) -> ExportDigest:
        """Read what `stream` would yield, and return its digest.

        Raises:
            TooManyExports, DatabaseUnavailable: as in `stream`.
        """
        digest = ExportDigest()
        async with aclosing(self.stream(export, digest=digest)) as pieces:
            async for _ in pieces:
                pass
        return digest

    async def stream(
        self, export: Export, *, gzipped: bool = False, digest: ExportDigest | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield the file piece by piece, with ascending rows; `gzipped` compresses it.

        What it yields, before gzip, is added to the digest.

        Raises:
            TooManyExports: before the first piece, if the maximum of exports is running.
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        if self._permits.locked():
            raise TooManyExports(f"{MAX_CONCURRENT} exports are under way: try again later")
        is_parquet = export.file_format is ExportFormat.PARQUET
        plain = self._parquet(export, digest) if is_parquet else self._text(export, digest)
        if digest is not None:
            plain = _with_digest(plain, digest)
        file = _gzip(plain) if gzipped else plain
        async with self._permits, aclosing(file) as pieces:
            async for piece in pieces:
                yield piece

    async def _text(
        self, export: Export, digest: ExportDigest | None
    ) -> AsyncGenerator[bytes, None]:
        is_csv = export.file_format is ExportFormat.CSV
        layout = csv_layout(export.key) if is_csv else ndjson_layout(export.key)
        head = layout.header.encode()
        async with aclosing(self._batches(export, layout, ROWS_PER_BATCH, digest)) as batches:
            async for batch in batches:
                yield head + batch
                head = b""
        if head:
            yield head

    async def _parquet(
        self, export: Export, digest: ExportDigest | None
    ) -> AsyncGenerator[bytes, None]:
        layout = csv_layout(export.key)
        writer = await asyncio.to_thread(ParquetWriter, has_decimals=export.has_decimals)
        groups = self._batches(export, layout, ROWS_PER_PARQUET_GROUP, digest)
        async with aclosing(groups) as batches:
            async for batch in batches:
                yield await asyncio.to_thread(writer.add, batch)
        yield await asyncio.to_thread(writer.finish)

    def _batches(
        self, export: Export, layout: TextLayout, size: int, digest: ExportDigest | None
    ) -> AsyncGenerator[bytes, None]:
        """Read the rows in batches; the next one is read while the last one is used."""
        rest = export.stored

        async def read_next() -> bytes | None:
            nonlocal rest
            if rest is None:
                return None
            async with self._connections, self._database.raw_connection() as connection:
                batch = await encoded_rows.read_batch(
                    connection, export.key, rest, size, layout.template, as_of_us=export.as_of_us
                )
            if batch is None:
                return None
            rest = TimeRange(batch.last + 1, rest.end)
            if digest is not None:
                digest.add_rows(batch.text, layout.template, batch.last)
            return layout.wrap(batch.text)

        return prefetch(read_next)


async def _with_digest(
    plain: AsyncGenerator[bytes, None], digest: ExportDigest
) -> AsyncGenerator[bytes, None]:
    async with aclosing(plain) as pieces:
        async for piece in pieces:
            digest.add_bytes(piece)
            yield piece


async def _gzip(plain: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    compressor = zlib.compressobj(GZIP_LEVEL, wbits=GZIP_WBITS)
    async with aclosing(plain) as pieces:
        async for piece in pieces:
            if compressed := await asyncio.to_thread(compressor.compress, piece):
                yield compressed
    yield compressor.flush()
