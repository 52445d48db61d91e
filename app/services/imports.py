"""Imports: files of prices, checked whole, then stored in short transactions.

A file's rows go to a stage first, so that a bad one can end the import before anything is stored,
and so that they are stored in the order of time, whatever their order in the file is. Many short
transactions keep nobody waiting, least of all the collector.
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
    Latest,
    OnProgress,
    RowParser,
)
from app.domain.recordings import Recording, subtract_recordings
from app.files.reader import BROKEN, PriceFile, open_prices
from app.postgres.database import Database
from app.repositories import prices, recordings
from app.repositories.imports import StagedRange, StagingTable

ROWS_READ_AT_ONCE: Final = 50_000
ROWS_STORED_AT_ONCE: Final = 20_000
"""Few enough that PostgreSQL keeps what the triggers read of them in memory."""
MAX_SHOWN: Final = 20
READING_SHARE: Final = 0.4
"""Of the time that an import takes."""


class ImportService:
    """Stores the rows of files; a process has one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, path: Path, request: ImportRequest, tell: OnProgress) -> ImportResult:
        """Store what a file holds and the record lacks; promise what lies between its ends.

        Killed at any moment, it is done again without harm: what is stored already stays.

        Raises:
            ImportRefused: the file can't be read, or a row of it is bad and none may be.
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        imported = ImportResult()
        latest = await self._latest(request.interval_seconds)
        async with self._database.autocommit_session() as session:
            stage = StagingTable(session)
            await stage.create()
            await _fill(stage, path, _Reader(path, request, latest, imported), tell)
            runs = await stage.build_index()
            for run in runs:
                await _store(stage, run, path, imported, tell)
        await self._promise(runs, request.interval_seconds, imported)
        return imported

    async def _latest(self, interval_seconds: int) -> Latest:
        """Tell up to which moment rows are taken: live prices that may still come go first."""
        async with self._database.read() as session:
            known = await recordings.newest(session)
            database_us = await prices.database_now_us(session)
            presents = await prices.estimate_exchange_now(session, known)
        return Latest.of_recordings(database_us, presents, known.values(), interval_seconds)

    async def _promise(
        self, runs: Iterable[StagedRange], interval_seconds: int, imported: ImportResult
    ) -> None:
        """Record each ticker from its first to its last row, where nothing recorded it."""
        async with self._database.transaction() as session:
            await recordings.lock_recordings(session)
            for run in runs:
                wished = Recording(run.key, interval_seconds, run.first, run.last)
                known = await recordings.of_ticker(session, run.key)
                parts = subtract_recordings(wished, known)
                await recordings.upsert(session, parts)
                imported.promised += parts


@dataclass(slots=True)
class _Reader:
    """Reads a file block by block, and notes what is bad."""

    path: Path
    request: ImportRequest
    latest: Latest
    imported: ImportResult
    sheet: RowParser = field(init=False)
    file: PriceFile = field(init=False)
    line: int = field(init=False)

    def begin(self, file: PriceFile) -> None:
        """Find out what the file's columns are."""
        self.file, self.line = file, file.first_line
        self.sheet = RowParser.of(file.columns, self.request, self.latest)

    def block(self) -> bytes | None:
        """Give the next good rows as they are staged; None when there are no more."""
        with _refusing(self.path):
            rows = list(islice(self.file.rows, ROWS_READ_AT_ONCE))
        if not rows:
            return None
        good = self.sheet.read_alike(rows)
        if good is None:
            good = list(self._good(rows))
        self.line += len(rows)
        self.imported.read += sum(map(bool, rows))
        return "\n".join([*good, ""]).encode()

    def _good(self, rows: Iterable[Sequence[str]]) -> Iterator[str]:
        for line, fields in enumerate(rows, start=self.line):
            if not fields:
                continue
            try:
                yield self.sheet.read(fields)
            except ValueError as error:
                self._note(BadRow(line, str(error)))

    def _note(self, bad: BadRow) -> None:
        if not self.request.skips_bad_rows:
            raise ImportRefused(f"{self.path}:{bad.line}: {bad.fault}")
        self.imported.bad += 1
        if len(self.imported.first_bad) < MAX_SHOWN:
            self.imported.first_bad.append(bad)


async def _fill(stage: StagingTable, path: Path, reader: _Reader, tell: OnProgress) -> None:
    """Bring a file to the stage: one block is read while the one before is on its way."""
    with ExitStack() as stack:
        with _refusing(path):
            file = stack.enter_context(open_prices(path))
            reader.begin(file)
        async with aclosing(prefetch(lambda: asyncio.to_thread(reader.block))) as blocks:
            async for block in blocks:
                await stage.copy_rows(block)
                share = READING_SHARE * file.share
                tell(ImportProgress(path, share, reader.imported.read, stored=0))


async def _store(
    stage: StagingTable, run: StagedRange, path: Path, imported: ImportResult, tell: OnProgress
) -> None:
    """Store what is staged of a ticker, block by block."""
    after = run.first - 1
    while (stored := await stage.insert_block(run, after, ROWS_STORED_AT_ONCE)).last is not None:
        after = stored.last
        imported.added += stored.added
        share = READING_SHARE + (1 - READING_SHARE) * run.fraction_before(after)
        tell(ImportProgress(path, share, imported.read, imported.added))


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Turn the many ways in which a file is broken into one error."""
    try:
        yield
    except BROKEN as error:
        raise ImportRefused(f"{path}: {error}") from error
