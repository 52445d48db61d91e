"""Imports: files of prices, validated as a whole, then stored in short transactions.

Rows are copied to a staging table first, so that a bad one can end the import before anything is
stored, and so that they are stored in the order of time. Short transactions keep the collector from
waiting.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, aclosing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from app.core.errors import ImportRefused
from app.core.prefetch import prefetch
from app.domain.imports import (
    BadRow,
    ImportProgress,
    ImportRequest,
    ImportResult,
    LatestTimestamps,
    OnProgress,
    RowParser,
)
from app.domain.recordings import Recording, subtract_recordings
from app.files.reader import READ_ERRORS, PriceFile, open_prices
from app.postgres.database import Database
from app.repositories import prices, recordings
from app.repositories.imports import StagedRange, StagingTable

MAX_ROWS_PER_READ: Final = 50_000
MAX_ROWS_PER_TRANSACTION: Final = 20_000
"""Few enough that PostgreSQL keeps in memory what the triggers read of them."""
MAX_BAD_ROWS_KEPT: Final = 20
READING_FRACTION: Final = 0.4
"""Reading's part of an import's time."""


class ImportService:
    """Stores the rows of files; a process has one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(
        self, path: Path, request: ImportRequest, on_progress: OnProgress
    ) -> ImportResult:
        """Store the rows of a file whose slots are free, and record the time that they span.

        An import that is killed can safely be repeated; rows that are stored already stay.

        Raises:
            ImportRefused: the file can't be read, or a row is bad and bad rows are not skipped.
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        result = ImportResult()
        latest = await self._latest_importable(request.interval_seconds)
        async with self._database.autocommit_session() as session:
            staging_table = StagingTable(session)
            await staging_table.create()
            reader = _Reader(path, request, latest, result)
            await _copy_to_staging(staging_table, reader, on_progress)
            ranges = await staging_table.build_index()
            for staged_range in ranges:
                await _store(staging_table, staged_range, path, result, on_progress)
        await self._record(ranges, request.interval_seconds, result)
        return result

    async def _latest_importable(self, interval_seconds: int) -> LatestTimestamps:
        """Return up to when rows may be imported: slots that are not due are left to collection."""
        async with self._database.read() as session:
            known = await recordings.newest(session)
            database_us = await prices.database_now_us(session)
            exchange_now_us = await prices.estimate_exchange_now(session, known)
        return LatestTimestamps.of_recordings(
            database_us, exchange_now_us, known.values(), interval_seconds
        )

    async def _record(
        self, ranges: Iterable[StagedRange], interval_seconds: int, result: ImportResult
    ) -> None:
        """Add recordings of each ticker from its first to its last row, where it has none."""
        async with self._database.transaction() as session:
            await recordings.lock_recordings(session)
            for staged in ranges:
                imported = Recording(staged.key, interval_seconds, staged.first, staged.last)
                known = await recordings.of_ticker(session, staged.key)
                added = subtract_recordings(imported, known)
                await recordings.upsert(session, added)
                result.promised += added


@dataclass(slots=True)
class _Reader:
    """Reads a file block by block, and adds counts and bad rows to the result."""

    path: Path
    request: ImportRequest
    latest: LatestTimestamps
    result: ImportResult
    parser: RowParser = field(init=False)
    file: PriceFile = field(init=False)
    line: int = field(init=False)

    def begin(self, file: PriceFile) -> None:
        """Find the file's columns.

        Raises:
            ValueError: a column is missing, or there twice.
        """
        self.file, self.line = file, file.first_line
        self.parser = RowParser.of(file.columns, self.request, self.latest)

    def read_block(self) -> bytes | None:
        """Read the next good rows, as lines for the staging table; None after the last one."""
        with _file_errors(self.path):
            rows = list(islice(self.file.rows, MAX_ROWS_PER_READ))
        if not rows:
            return None
        good = self.parser.read_plain(rows)
        if good is None:
            good = list(self._good_rows(rows))
        self.line += len(rows)
        self.result.read += sum(map(bool, rows))
        return "\n".join([*good, ""]).encode()

    def _good_rows(self, rows: Iterable[Sequence[str]]) -> Iterator[str]:
        for line, fields in enumerate(rows, start=self.line):
            if not fields:
                continue
            try:
                yield self.parser.read(fields)
            except ValueError as error:
                self._skip_or_refuse(BadRow(line, str(error)))

    def _skip_or_refuse(self, bad: BadRow) -> None:
        if not self.request.skips_bad_rows:
            raise ImportRefused(f"{self.path}:{bad.line}: {bad.fault}")
        self.result.bad += 1
        if len(self.result.first_bad) < MAX_BAD_ROWS_KEPT:
            self.result.first_bad.append(bad)


async def _copy_to_staging(
    staging_table: StagingTable, reader: _Reader, on_progress: OnProgress
) -> None:
    """Copy a file to the staging table; the next block is read while one is sent."""
    with ExitStack() as stack:
        with _file_errors(reader.path):
            file = stack.enter_context(open_prices(reader.path))
            reader.begin(file)
        async with aclosing(prefetch(lambda: asyncio.to_thread(reader.read_block))) as blocks:
            async for block in blocks:
                await staging_table.copy_rows(block)
                fraction = READING_FRACTION * file.fraction_read
                on_progress(ImportProgress(reader.path, fraction, reader.result.read, stored=0))


async def _store(
    staging_table: StagingTable,
    staged_range: StagedRange,
    path: Path,
    result: ImportResult,
    on_progress: OnProgress,
) -> None:
    """Store the staged rows of a ticker, block by block."""
    last = staged_range.first - 1
    while True:
        block = await staging_table.insert_block(staged_range, last, MAX_ROWS_PER_TRANSACTION)
        if block.last is None:
            return
        last = block.last
        result.added += block.added
        fraction = READING_FRACTION + (1 - READING_FRACTION) * staged_range.fraction_before(last)
        on_progress(ImportProgress(path, fraction, result.read, result.added))


@contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    """Map the errors of a broken file to ImportRefused."""
    try:
        yield
    except READ_ERRORS as error:
        raise ImportRefused(f"{path}: {error}") from error
