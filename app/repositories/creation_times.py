"""`created_at`, the moment at which a row was stored, which `as_of` compares; see ADR 24.

Statements stamp their rows with the clock. Rows whose transaction took long are stamped anew at its
end, and the server rolls it back if the end does not follow at once.
"""

from collections.abc import Collection, Iterator
from itertools import groupby
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.errors import ParametersInvalid
from app.domain.as_of import to_datetime
from app.domain.slots import Slot
from app.repositories.prices import PriceId

MAX_AGE_SECONDS: Final = 1.0
"""In a younger transaction no row is stamped anew."""
MAX_PAUSE_SECONDS: Final = 5.0
"""How long the server waits for the commit after the last statement."""

# The transaction is at least as old as the oldest of its rows.
_IS_OLD = text(
    """
    SELECT clock_timestamp() - now() > make_interval(secs => :max_age)
    FROM set_config('idle_in_transaction_session_timeout', :milliseconds, true)
    """
)
_RENEW = text(
    """
    UPDATE prices SET created_at = (SELECT clock_timestamp())
    FROM unnest(
        CAST(:exchanges AS text[]), CAST(:tickers AS text[]),
        CAST(:firsts AS bigint[]), CAST(:lasts AS bigint[])
    ) AS stored (exchange, ticker, first, last)
    WHERE prices.exchange = stored.exchange AND prices.ticker = stored.ticker
      AND timestamp BETWEEN first AND last AND prices.xmin = pg_current_xact_id()::xid
    """
)
_IS_FUTURE = text("SELECT clock_timestamp() < CAST(:as_of AS timestamptz)")


async def renew_if_old(session: AsyncSession, stored: Collection[PriceId]) -> None:
    """Stamp the rows of this transaction anew if it took long; it must commit at once then.

    These are the transaction's rows from the first to the last of the ids, ticker by ticker.
    """
    age = {"max_age": MAX_AGE_SECONDS, "milliseconds": str(round(MAX_PAUSE_SECONDS * 1000))}
    if stored and await session.scalar(_IS_OLD, age):
        exchanges, tickers, firsts, lasts = zip(*_ranges(stored), strict=True)
        columns = {"exchanges": exchanges, "tickers": tickers, "firsts": firsts, "lasts": lasts}
        await session.execute(_RENEW, {name: list(values) for name, values in columns.items()})


async def refuse_future(session: AsyncSession, as_of_us: int | None) -> None:
    """Refuse a moment that is still to come: rows may be stored until then.

    Raises:
        ParametersInvalid: it is, by the database's clock.
    """
    if as_of_us is None:
        return
    if await session.scalar(_IS_FUTURE, {"as_of": to_datetime(as_of_us)}):
        raise ParametersInvalid({"as_of": "must not lie in the future, by the database's clock"})


def _ranges(stored: Collection[PriceId]) -> Iterator[tuple[str, str, Slot, Slot]]:
    for key, ids in groupby(sorted(stored), key=lambda one: one.key):
        slots = [one.slot for one in ids]
        yield *key, slots[0], slots[-1]
