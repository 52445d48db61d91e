"""Exchanges' clocks in the database, as all processes of a host share them."""

from collections.abc import Mapping

from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.timestamp_checks import ExchangeClock, UnconfirmedJump
from app.postgres.models import ExchangeClockRow

_insert = insert(ExchangeClockRow)
_upsert = _insert.on_conflict_do_update(
    index_elements=["exchange", "host"],
    set_={
        "offset_us": _insert.excluded.offset_us,
        "former_offset_us": _insert.excluded.former_offset_us,
        "doubted_offset_us": _insert.excluded.doubted_offset_us,
        "doubted_since_us": _insert.excluded.doubted_since_us,
        "noted_at": func.now(),
    },
)
_delete_old = delete(ExchangeClockRow).where(
    ExchangeClockRow.noted_at < func.now() - text("interval '30 days'")
)
"""Every start of a host leaves a row."""


async def read_for_host(session: AsyncSession, host: str) -> dict[str, ExchangeClock]:
    """Read the clocks of a host, by exchange."""
    rows = await session.execute(
        select(
            ExchangeClockRow.exchange,
            ExchangeClockRow.offset_us,
            ExchangeClockRow.former_offset_us,
            ExchangeClockRow.doubted_offset_us,
            ExchangeClockRow.doubted_since_us,
        ).where(ExchangeClockRow.host == host)
    )
    return {
        exchange: ExchangeClock(offset, former, _unconfirmed(doubted, since))
        for exchange, offset, former, doubted, since in rows
    }


async def upsert(session: AsyncSession, host: str, clocks: Mapping[str, ExchangeClock]) -> None:
    """Save the clocks of a host."""
    for exchange, clock in sorted(clocks.items()):
        doubted, since = clock.unconfirmed or (None, None)
        row = {
            "exchange": exchange,
            "host": host,
            "offset_us": clock.offset_us,
            "former_offset_us": clock.former_offset_us,
            "doubted_offset_us": doubted,
            "doubted_since_us": since,
        }
        await session.execute(_upsert, row)
    await session.execute(_delete_old)


def _unconfirmed(offset_us: int | None, since_us: int | None) -> UnconfirmedJump | None:
    return None if offset_us is None or since_us is None else UnconfirmedJump(offset_us, since_us)
