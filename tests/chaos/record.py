"""The record as PostgreSQL holds it, read beside the service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg

from tests.chaos.truth import Given, Place, Row

MAX_READ_SECONDS = 5

_AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)
_ROWS = "SELECT ticker, timestamp, observed_us, price, source, created_at FROM prices"


class Record:
    """Reads the prices over a connection of its own each time, for servers come and go."""

    def __init__(self, database_url: str) -> None:
        self.url = database_url.replace("+asyncpg", "")

    async def rows(self) -> list[Row]:
        """Give every stored price; none while the database is away."""
        with suppress(*_AWAY):
            async with self.connection() as connection:
                return [_row(row) for row in await connection.fetch(_ROWS)]
        return []

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """Connect as long as the context lasts."""
        connection = await asyncpg.connect(self.url, timeout=MAX_READ_SECONDS)
        try:
            yield connection
        finally:
            with suppress(*_AWAY):  # its server may have been killed on purpose
                await connection.close(timeout=MAX_READ_SECONDS)


def _row(row: asyncpg.Record) -> Row:
    ticker = row["ticker"]
    given = Given(ticker, row["observed_us"], row["price"], row["source"])
    return Row(Place(ticker, row["timestamp"]), given, row["created_at"])
