"""Housekeeping: what nobody needs any more is thrown away."""

from app.postgres.database import Database
from app.repositories import changes


class Housekeeping:
    """Keeps the small tables small; a process has one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def tidy(self) -> None:
        """Forget changes that every reader has seen.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        async with self._database.transaction() as session:
            await changes.prune(session)
