"""Exchanges' clocks in the database, as all processes of a host share them."""

from collections.abc import Mapping

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.timestamp_checks import ExchangeClock, UnconfirmedJump

_READ = text(
    """
    SELECT exchange, offset_us, former_offset_us, doubted_offset_us, doubted_since_us
    FROM exchange_clocks WHERE host = :host
    """
)
_UPSERT = text(
    """
    INSERT INTO exchange_clocks (exchange, host, offset_us, former_offset_us,
                                 doubted_offset_us, doubted_since_us)
    VALUES (:exchange, :host, :offset, :former, :doubted, :since)
    ON CONFLICT (exchange, host) DO UPDATE SET
        offset_us = excluded.offset_us, former_offset_us = excluded.former_offset_us,
        doubted_offset_us = excluded.doubted_offset_us,
        doubted_since_us = excluded.doubted_since_us, noted_at = now()
    """
)
_DELETE_OLD = text("DELETE FROM exchange_clocks WHERE noted_at < now() - interval '30 days'")
"""Every start of a host leaves a row."""


async def read_for_host(session: AsyncSession, host: str) -> dict[str, ExchangeClock]:
    """Read the clocks of a host, by exchange."""
    rows = await session.execute(_READ, {"host": host})
    return {
        exchange: ExchangeClock(
            offset, former, None if doubted is None else UnconfirmedJump(doubted, since)
        )
        for exchange, offset, former, doubted, since in rows
    }


async def upsert(session: AsyncSession, host: str, clocks: Mapping[str, ExchangeClock]) -> None:
    """Save the clocks of a host."""
    for exchange, clock in sorted(clocks.items()):
        doubted, since = clock.unconfirmed or (None, None)
        row = {
            "exchange": exchange,
            "host": host,
            "offset": clock.offset_us,
            "former": clock.former_offset_us,
            "doubted": doubted,
            "since": since,
        }
        await session.execute(_UPSERT, row)
    await session.execute(_DELETE_OLD)
