"""Candles: a ticker's prices in brief, and whether a live price may still change them."""

from app.domain.candles import CandlePage, CandleQuery, first_open_slot
from app.postgres.database import Database
from app.repositories import candles, prices


class CandleService:
    """Reads candles; a process has one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, query: CandleQuery, interval_seconds: int) -> CandlePage:
        """Read a page of candles of a ticker recorded at an interval; empty for an unknown one.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        async with self._database.read() as session:
            # looked at first: what was settled then has all its live prices in what is read next
            presents = await prices.estimate_exchange_now(session, [query.key])
            settled = first_open_slot(presents[query.key], interval_seconds)
            return await candles.read_page(session, query, settled)
