"""What transactions changed since a moment, so that what is remembered can be forgotten in time.

A moment is a snapshot: the set of transactions whose work was visible. Whatever is visible now and
was not then is new, however late it was committed; a counter would miss a slow transaction.
"""

from typing import NamedTuple

from sqlalchemy import Text, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.changes import EVERYTHING, Change
from app.domain.prices import TickerKey
from app.domain.slots import Slot

CHANNEL = "price_changes"
"""Notified by every transaction that changes prices."""
KEPT_SECONDS = 3600
"""A reader that did not look for so long can't trust what it remembers."""

_SINCE = text(
    """
    SELECT pg_current_snapshot()::text, pg_postmaster_start_time()::text,
           count(id), exchange, ticker, min(first_slot), max(last_slot)
    FROM (VALUES (1)) AS always
    LEFT JOIN price_changes
        ON transaction >= pg_snapshot_xmin(CAST(:visible AS pg_snapshot))::text::bigint
       AND NOT pg_visible_in_snapshot(transaction::text::xid8, CAST(:visible AS pg_snapshot))
    GROUP BY exchange, ticker
    """
).bindparams(bindparam("visible", type_=Text))
_NOW = text("SELECT pg_current_snapshot()::text, pg_postmaster_start_time()::text")
_TIDY = text("DELETE FROM price_changes WHERE noted_at < now() - make_interval(secs => :seconds)")


class Moment(NamedTuple):
    """A state of the record: which transactions were visible, since which start of the server.

    Another server, or a restored one, counts its transactions anew.
    """

    visible: str
    server_started: str


async def now(session: AsyncSession) -> Moment:
    """Give the present moment."""
    return Moment(*(await session.execute(_NOW)).one())


async def since(session: AsyncSession, moment: Moment) -> tuple[Moment, list[Change]]:
    """Give the present moment, and what became visible since an earlier one."""
    rows = (await session.execute(_SINCE, {"visible": moment.visible})).all()
    present = Moment(*rows[0][:2])
    if present.server_started != moment.server_started:
        return present, [EVERYTHING]
    return present, [_change(*row[3:]) for row in rows if row[2]]


async def tidy(session: AsyncSession) -> None:
    """Forget changes that every reader must have seen."""
    await session.execute(_TIDY, {"seconds": KEPT_SECONDS})


def _change(exchange: str | None, ticker: str | None, first: int, last: int) -> Change:
    if exchange is None or ticker is None:
        return EVERYTHING
    return Change(TickerKey(exchange, ticker), Slot(first), Slot(last))
