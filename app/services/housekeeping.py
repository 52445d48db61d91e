"""Housekeeping: delete rows that no reader needs any more."""

from app.postgres.database import Database
from app.repositories import changes


class Housekeeping:
    """Keeps the small tables small; a process has one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prune(self) -> None:
        """Delete the changes that every reader has seen.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        async with self._database.transaction() as session:
            await changes.prune(session)
