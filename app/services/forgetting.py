"""Forgetting: what should not be there is deleted, and the promises that only it kept.

What is forgotten inside a recording is a gap like any other: the repair fills it from the chart, as
far as that reaches.
"""

from app.core.errors import RepairRunning
from app.core.retry import Retrier
from app.domain.deletion import RowCounts, Selection
from app.domain.prices import MIN_SECOND
from app.domain.repairs import REPAIR_LOCK
from app.postgres.database import Database
from app.repositories import deletion, recordings

ROWS_AT_ONCE = 10_000
PATIENCE_SECONDS = 60.0
"""For a repair that is under way, which could put back what is forgotten."""


class Forgetting:
    """Deletes rows; a process has one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def look(self, selection: Selection) -> RowCounts:
        """Tell what would go.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        async with self._database.read() as session:
            return await deletion.count_rows(session, selection)

    async def forget(self, selection: Selection) -> RowCounts:
        """Delete a selection in short transactions; tell what went.

        A closed recording that loses its last row goes with it; with a whole ticker, all that is
        known of it. Killed at any moment, it is done again without harm.

        Raises:
            DatabaseUnavailable: PostgreSQL stayed away.
            RepairRunning: a repair did not end.
        """
        patience = Retrier(PATIENCE_SECONDS, first_wait_seconds=0.25, max_wait_seconds=1)

        async def attempt() -> RowCounts:
            async with self._database.try_lock(REPAIR_LOCK) as held:
                if not held:
                    raise RepairRunning("a repair is under way")
                return await self._forget(selection)

        return await patience.call(attempt)

    async def _forget(self, selection: Selection) -> RowCounts:
        stock = await self.look(selection)
        after: int | None = MIN_SECOND
        while after is not None:
            after = await self._forget_block(selection, after)
        if selection.is_whole:
            async with self._database.transaction() as session:
                await recordings.lock_recordings(session)
                await deletion.delete_recordings(session, selection.key)
        return stock

    async def _forget_block(self, selection: Selection, after: int) -> int | None:
        """Delete the next rows, and in the same transaction the recordings that they emptied.

        Later nobody could tell those from recordings that never had a row. A whole ticker keeps its
        recordings to the end, so that it is known until all is done.
        """
        async with self._database.transaction() as session:
            await recordings.lock_recordings(session)  # before rows are locked, as everywhere
            deleted = await deletion.delete_block(session, selection, after, ROWS_AT_ONCE)
            if not selection.is_whole:
                await deletion.delete_empty_recordings(session, selection.key, deleted.recordings)
        return deleted.last
