"""Deletion of stored prices, of the recordings that lose their last row by it, and of old changes.

A row that is deleted inside a recording leaves a gap like any other. The repair fills it from the
chart, as far as that reaches.
"""

import structlog

from app.core.errors import RepairRunning
from app.core.retry import Retrier
from app.domain.deletion import RowCounts, Selection
from app.domain.prices import MIN_SECOND
from app.domain.repairs import REPAIR_LOCK
from app.postgres.database import Database
from app.repositories import cache_invalidation, deletion, recordings

log = structlog.get_logger(__name__)

MAX_ROWS_PER_TRANSACTION = 10_000
MAX_LOCK_WAIT_SECONDS = 60.0
"""A running repair, which could fill again what is deleted, is waited for."""


class DeletionService:
    """Deletes rows; a process has one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count(self, selection: Selection) -> RowCounts:
        """Count the rows of a selection.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        async with self._database.read_committed() as session:
            return await deletion.count_rows(session, selection)

    async def delete(self, selection: Selection) -> RowCounts:
        """Delete a selection in short transactions; return the counts of its rows.

        A closed recording that loses its last row is deleted, too. With a whole ticker, all that is
        known of it is deleted. A deletion that is killed can safely be repeated.

        Raises:
            DatabaseUnavailable: PostgreSQL stayed away.
            RepairRunning: a repair did not end.
        """
        retrier = Retrier(MAX_LOCK_WAIT_SECONDS, first_wait_seconds=0.25, max_wait_seconds=1)

        async def attempt() -> RowCounts:
            async with self._database.try_lock(REPAIR_LOCK) as is_locked:
                if not is_locked:
                    raise RepairRunning("a repair is under way")
                return await self._delete(selection)

        return await retrier.call(attempt)

    async def replace_restored_changes(self) -> None:
        """Have every reader read everything again if the changes came from a dump.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        async with self._database.transaction() as session:
            were_restored = await cache_invalidation.replace_restored_changes(session)
        if were_restored:
            log.warning("restored_changes_replaced")

    async def prune_changes(self) -> None:
        """Delete the changes that every reader has seen.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        await self.replace_restored_changes()  # their numbers would mislead the pruning
        async with self._database.transaction() as session:
            await cache_invalidation.prune_changes(session)

    async def _delete(self, selection: Selection) -> RowCounts:
        """Delete block by block, each with the recordings that are empty then.

        Later they could not be told from recordings that never had a row. A whole ticker keeps its
        recordings to the end, so that it is known until everything is deleted.
        """
        counts = await self.count(selection)
        last: int | None = MIN_SECOND
        while last is not None:
            async with self._database.transaction() as session:
                await recordings.lock_recordings(session)  # before rows are locked, as everywhere
                last, emptied = await deletion.delete_block(
                    session, selection, last, MAX_ROWS_PER_TRANSACTION
                )
                if not selection.is_whole:
                    await deletion.delete_empty_recordings(session, selection.key, emptied)
        if selection.is_whole:
            async with self._database.transaction() as session:
                await recordings.lock_recordings(session)
                await deletion.delete_recordings(session, selection.key)
        return counts
