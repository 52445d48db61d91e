"""The stored prices, read from PostgreSQL without the service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg

from tests.chaos.oracle import Observation, Row, SlotKey

MAX_READ_SECONDS = 5

_CONNECTION_ERRORS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)
_ROWS = "SELECT ticker, timestamp, observed_us, price, source, created_at FROM prices"


class PriceTable:
    """Reads the prices over a new connection each time, since servers restart in scenarios."""

    def __init__(self, database_url: str) -> None:
        self.url = database_url.replace("+asyncpg", "")

    async def rows(self) -> list[Row]:
        """Return every stored price, or none while the database is unavailable."""
        with suppress(*_CONNECTION_ERRORS):
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
            with suppress(*_CONNECTION_ERRORS):  # its server may have been killed on purpose
                await connection.close(timeout=MAX_READ_SECONDS)


def _row(row: asyncpg.Record) -> Row:
    ticker = row["ticker"]
    observation = Observation(ticker, row["observed_us"], row["price"], row["source"])
    return Row(SlotKey(ticker, row["timestamp"]), observation, row["created_at"])
