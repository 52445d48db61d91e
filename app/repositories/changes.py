"""What transactions changed since a moment, so that what is remembered can be forgotten in time.

A moment is a snapshot: the set of transactions whose work was visible. Whatever is visible now and
was not then is new, however late it was committed; a counter would miss a slow transaction.
"""

from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.changes import EVERYTHING, Change
from app.domain.prices import TickerKey
from app.domain.slots import Slot
from app.domain.ticker_state import TickerState
from app.postgres.database import RawConnection
from app.repositories import ticker_states

CHANNEL = "price_changes"
"""Notified by every transaction that changes prices."""
KEPT_SECONDS = 3600
"""A reader that did not look for so long can't trust what it remembers."""
SAFE_SECONDS = KEPT_SECONDS / 2
"""A reader that did not look for so long, by the database's clock, takes everything as changed."""

_NOW = """
    SELECT pg_current_snapshot()::text, pg_postmaster_start_time()::text,
           extract(epoch FROM statement_timestamp())::float8
"""
# One statement, so that what changed and the tickers' states are of the same moment.
_SINCE = f"""
    SELECT pg_current_snapshot()::text, pg_postmaster_start_time()::text,
           extract(epoch FROM statement_timestamp())::float8,
           changes, first_slot, last_slot, wanted.exchange, wanted.ticker,
           {ticker_states.COLUMNS}
    FROM (VALUES (1)) AS always LEFT JOIN (
        SELECT exchange, ticker, count(*) AS changes,
               min(first_slot) AS first_slot, max(last_slot) AS last_slot
        FROM price_changes
        WHERE transaction >= pg_snapshot_xmin($1::text::pg_snapshot)::text::bigint
          AND NOT pg_visible_in_snapshot(transaction::text::xid8, $1::text::pg_snapshot)
        GROUP BY exchange, ticker
    ) AS wanted ON true {ticker_states.JOINS}
"""  # noqa: S608  # put together from constants
_TIDY = text("DELETE FROM price_changes WHERE noted_at < now() - make_interval(secs => :seconds)")


class Snapshot(NamedTuple):
    """A state of the record: which transactions were visible, since which start of the server.

    Another server, or a restored one, counts its transactions anew. The seconds are the database's
    clock, for a reader's own stands still while its machine is suspended.
    """

    visible: str
    server_started: str
    seconds: float

    def reaches(self, later: "Snapshot") -> bool:
        """Tell whether every change from this moment to a later one is surely still noted."""
        passed = later.seconds - self.seconds
        return self.server_started == later.server_started and 0 <= passed <= SAFE_SECONDS


class ChangesSince(NamedTuple):
    """The present moment, what became visible since an earlier one, and how it left each ticker."""

    snapshot: Snapshot
    changes: list[Change]
    states: dict[TickerKey, TickerState]


async def read_snapshot(connection: RawConnection) -> Snapshot:
    """Give the present moment."""
    (row,) = await connection.fetch(_NOW)
    return Snapshot(*row)


async def read_since(connection: RawConnection, moment: Snapshot) -> ChangesSince:
    """Tell what became visible since a moment; everything where that is no longer known."""
    rows = await connection.fetch(_SINCE, moment.visible)
    present = Snapshot(*rows[0][:3])
    if not moment.reaches(present):
        return ChangesSince(present, [EVERYTHING], {})
    noted = [row for row in rows if row[3]]
    changes = [_change(*row[4:8]) for row in noted]
    states = dict(ticker_states.read_row(row[6:]) for row in noted if row[7] is not None)
    return ChangesSince(present, changes, states)


async def prune(session: AsyncSession) -> None:
    """Forget changes that every reader must have seen."""
    await session.execute(_TIDY, {"seconds": KEPT_SECONDS})


def _change(first: int, last: int, exchange: str | None, ticker: str | None) -> Change:
    if exchange is None or ticker is None:
        return EVERYTHING
    return Change(TickerKey(exchange, ticker), Slot(first), Slot(last))
