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
from typing import Final, NoReturn

from app.core.errors import ImportRefused
from app.core.prefetch import prefetch
from app.domain.import_rows import RowParser
from app.domain.imports import (
    BadRow,
    ImportProgress,
    ImportRequest,
    ImportResult,
    LatestTimestamps,
    OnProgress,
)
from app.domain.recordings import Recording, subtract_recordings
from app.domain.slots import Slot
from app.domain.times import format_utc
from app.files.manifest import check_manifest
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
            ImportRefused: the file can't be read or differs from its manifest, or a row is bad and
                bad rows are not skipped.
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        if request.manifest is not None:
            with _file_errors(path):
                await asyncio.to_thread(check_manifest, path, request.manifest)
        file_import = _FileImport(path, request, on_progress)
        latest = await self._latest_importable(request.interval_seconds)
        async with self._database.autocommit_session() as session:
            staging_table = StagingTable(session)
            await staging_table.create()
            await file_import.copy_to(staging_table, latest)
            ranges = await staging_table.build_index()
            for staged_range in ranges:
                await self._refuse_rows_between_slots(file_import, staging_table, staged_range)
            for staged_range in ranges:
                await file_import.store(staging_table, staged_range)
        await self._add_recordings(ranges, request.interval_seconds, file_import.result)
        return file_import.result

    async def _latest_importable(self, interval_seconds: int) -> LatestTimestamps:
        """Return up to when rows may be imported: slots that are not due are left to collection."""
        async with self._database.read_committed() as session:
            known = await recordings.newest(session)
            database_us = await prices.database_now_us(session)
            exchange_now_us = await prices.estimate_exchange_now(session, known)
        return LatestTimestamps.of_recordings(
            database_us, exchange_now_us, known.values(), interval_seconds
        )

    async def _refuse_rows_between_slots(
        self, file_import: "_FileImport", staging_table: StagingTable, staged: StagedRange
    ) -> None:
        """Refuse rows between the slots of a recording: no list and no count expects them."""
        async with self._database.read_committed() as session:
            known = await recordings.of_ticker(session, staged.key)
        for recording in known:
            if file_import.request.interval_seconds % recording.interval_seconds:
                slot = await staging_table.first_between_slots(recording)
                if slot is not None:
                    file_import.refuse_slot(slot, recording)

    async def _add_recordings(
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
class _FileImport:
    """The import of one file, and its result so far."""

    path: Path
    request: ImportRequest
    on_progress: OnProgress
    result: ImportResult = field(default_factory=ImportResult)

    async def copy_to(self, staging_table: StagingTable, latest: LatestTimestamps) -> None:
        """Copy the file to the staging table; the next block is read while one is sent."""
        with ExitStack() as stack:
            with _file_errors(self.path):
                file = stack.enter_context(open_prices(self.path))
                parser = RowParser(file.columns, self.request, latest)
            blocks = self._read_blocks(file, parser)
            async with aclosing(prefetch(lambda: asyncio.to_thread(next, blocks, None))) as sent:
                async for block in sent:
                    await staging_table.copy_rows(block)
                    self._report(READING_FRACTION * file.fraction_read)

    async def store(self, staging_table: StagingTable, staged_range: StagedRange) -> None:
        """Store the staged rows of a ticker, block by block."""
        last = staged_range.first - 1
        while True:
            block = await staging_table.insert_block(staged_range, last, MAX_ROWS_PER_TRANSACTION)
            if block.last is None:
                return
            last = block.last
            self.result.added += block.added
            fraction = staged_range.fraction_through(last)
            self._report(READING_FRACTION + (1 - READING_FRACTION) * fraction)

    def refuse_slot(self, slot: Slot, recording: Recording) -> NoReturn:
        """Refuse the file for a slot that lies between those of a recording."""
        seconds = recording.interval_seconds
        raise ImportRefused(
            f"{self.path}: {recording.key} is recorded every {seconds} seconds at "
            f"{format_utc(slot)}: import that time with --interval {seconds}"
        )

    def _read_blocks(self, file: PriceFile, parser: RowParser) -> Iterator[bytes]:
        """Yield the good rows block by block, as lines for the staging table."""
        line = file.first_line
        while True:
            with _file_errors(self.path):
                rows = list(islice(file.rows, MAX_ROWS_PER_READ))
            if not rows:
                return
            good = parser.read_plain(rows) or list(self._good_rows(parser, rows, line))
            line += len(rows)
            self.result.read += sum(map(bool, rows))
            yield "\n".join([*good, ""]).encode()

    def _good_rows(
        self, parser: RowParser, rows: Iterable[Sequence[str]], first_line: int
    ) -> Iterator[str]:
        for line, fields in enumerate(rows, start=first_line):
            if not fields:
                continue
            try:
                yield parser.read(fields)
            except ValueError as error:
                self._skip_or_refuse(BadRow(line, str(error)))

    def _skip_or_refuse(self, bad: BadRow) -> None:
        if not self.request.skips_bad_rows:
            raise ImportRefused(f"{self.path}:{bad.line}: {bad.fault}")
        self.result.bad += 1
        if len(self.result.first_bad) < MAX_BAD_ROWS_KEPT:
            self.result.first_bad.append(bad)

    def _report(self, fraction: float) -> None:
        counts = self.result.read, self.result.added
        self.on_progress(ImportProgress(self.path, fraction, *counts))


@contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    """Map the errors of a broken file to ImportRefused."""
    try:
        yield
    except READ_ERRORS as error:
        raise ImportRefused(f"{path}: {error}") from error
