"""Candles of a ticker, and whether a live price may still change them."""

from app.domain.candles import CandlePage, CandleQuery, first_open_slot
from app.postgres.database import Database
from app.repositories import candles, prices


class CandleService:
    """Reads candles; a process has one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read_page(self, query: CandleQuery, interval_seconds: int) -> CandlePage:
        """Read a page of candles; `interval_seconds` is that of the ticker's recording.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        async with self._database.read() as session:
            # read first, so that the candles have all live prices of the slots that are closed
            exchange_now_us = await prices.estimate_exchange_now(session, [query.key])
            open_slot = first_open_slot(exchange_now_us[query.key], interval_seconds)
            return await candles.read_page(session, query, open_slot)
