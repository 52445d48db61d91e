"""Changes that transactions made since a snapshot, so that caches can invalidate what changed.

A snapshot is the set of transactions that were visible. A change that is visible now and was not
then is new, however late it was committed; a counter would miss a slow transaction.
"""

from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.changed_slots import CHANGES_RETENTION_SECONDS, EVERYTHING, Change
from app.domain.prices import TickerKey
from app.domain.slots import Slot
from app.domain.ticker_state import TickerState
from app.postgres.database import RawConnection
from app.repositories import ticker_states
from app.repositories.transaction_numbering import NUMBERING_OF_THIS_RUN

CHANNEL = "price_changes"
"""Notified by every transaction that changes prices."""
SAFE_SECONDS = CHANGES_RETENTION_SECONDS / 2
"""A reader with an older snapshot, by the database's clock, takes everything as changed."""
_SNAPSHOT = f"""
    pg_current_snapshot()::text,
    {NUMBERING_OF_THIS_RUN},
    extract(epoch FROM statement_timestamp())::float8
"""
_CURRENT = f"SELECT {_SNAPSHOT}"
# One statement, so that the changes and the tickers' states are of the same snapshot.
_SINCE = f"""
    SELECT {_SNAPSHOT},
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
_PRUNE = text(
    """
    DELETE FROM price_changes WHERE transaction < (
        SELECT max(oldest_running) FROM price_changes
        WHERE noted_at < now() - make_interval(secs => :seconds)
    )
    """
)
# A note that a transaction of this server made carries that transaction's number, as its row does.
# Those of another server may be ahead for years: they would never count as seen.
_REPLACE_RESTORED = text(
    """
    WITH restored AS (
        DELETE FROM price_changes WHERE xmin::text::bigint <> transaction & 4294967295 RETURNING 1
    )
    INSERT INTO price_changes (exchange)
    SELECT NULL FROM (SELECT count(*) AS notes FROM restored) AS deleted WHERE notes > 0
    RETURNING 1
    """
)


class Snapshot(NamedTuple):
    """The visible transactions, and the numbering that they belong to.

    The seconds are the database's clock, because a reader's own clock may stop while its machine is
    suspended.
    """

    visible: str
    numbering: str
    seconds: float

    def can_resume_at(self, later: "Snapshot") -> bool:
        """Return whether all changes from this snapshot to a later one are surely still stored."""
        is_same_numbering = self.numbering == later.numbering
        elapsed = later.seconds - self.seconds
        return is_same_numbering and 0 <= elapsed <= SAFE_SECONDS


class ChangesSince(NamedTuple):
    """The current snapshot, the changes since an earlier one, and the changed tickers' states."""

    snapshot: Snapshot
    changes: list[Change]
    states: dict[TickerKey, TickerState]


async def read_snapshot(connection: RawConnection) -> Snapshot:
    """Return the current snapshot."""
    (row,) = await connection.fetch(_CURRENT)
    return Snapshot(*row)


async def read_changes_since(connection: RawConnection, snapshot: Snapshot) -> ChangesSince:
    """Read the changes since a snapshot; everything changed if they are not stored any more."""
    rows = await connection.fetch(_SINCE, snapshot.visible)
    current = Snapshot(*rows[0][:3])
    if not snapshot.can_resume_at(current):
        return ChangesSince(current, [EVERYTHING], {})
    changed = [row for row in rows if row[3]]
    changes = [_change(*row[4:8]) for row in changed]
    states = dict(ticker_states.read_row(row[6:]) for row in changed if row[7] is not None)
    return ChangesSince(current, changes, states)


async def replace_restored_changes(session: AsyncSession) -> bool:
    """Replace the notes that came from a dump by one that everything changed; return if any did.

    A transaction with savepoints looks the same: its notes are replaced, too, which costs readers
    no more than to read everything again.
    """
    return await session.scalar(_REPLACE_RESTORED) is not None


async def prune_changes(session: AsyncSession) -> None:
    """Delete the changes of transactions that have been over for `CHANGES_RETENTION_SECONDS`.

    The newest of them stay: they tell that the transactions before them were over.
    """
    await session.execute(_PRUNE, {"seconds": CHANGES_RETENTION_SECONDS})


def _change(first: int, last: int, exchange: str | None, ticker: str | None) -> Change:
    if exchange is None or ticker is None:
        return EVERYTHING
    return Change(TickerKey(exchange, ticker), Slot(first), Slot(last))
