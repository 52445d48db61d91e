"""The expected prices, computed from what the exchange says that it sent.

This module uses no code of the service, so that one bug can't hide on both sides.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

MICROSECONDS = 1_000_000


class SlotKey(NamedTuple):
    """Identifies a slot of a ticker."""

    ticker: str
    slot: int


class Observation(NamedTuple):
    """A price that the exchange sent: its timestamp in microseconds, and by which method."""

    ticker: str
    observed_us: int
    price: Decimal
    source: str  # "live": an answer to a price request; "backfill": a point of the chart


class Row(NamedTuple):
    """A stored price."""

    key: SlotKey
    observation: Observation
    created_at: datetime

    @property
    def is_live(self) -> bool:
        return self.observation.source == "live"

    def is_late(self, history: "ExchangeHistory") -> bool:
        """Tell whether it is a live answer that was stored as backfill because its slot was due."""
        return not self.is_live and self.observation._replace(source="live") in history.answers

    def is_live_after(self, time_us: int) -> bool:
        return self.is_live and self.observation.observed_us > time_us


@dataclass(frozen=True, slots=True)
class ExchangeHistory:
    """All answers that the exchange sent until a time on its clock, and the points of its chart."""

    now_us: int
    answers: frozenset[Observation]
    points: frozenset[Observation]

    def slots_in_chart(self, interval: int) -> set[SlotKey]:
        """Return the slots that the chart has a price for."""
        return {_slot_key(point, interval) for point in self.points}


@dataclass(frozen=True, slots=True)
class AuditResult:
    """The stored prices compared with the history of the exchange."""

    # from each ticker's first live row to the newest slot that is over
    expected: frozenset[SlotKey]
    live: frozenset[SlotKey]
    repaired: frozenset[SlotKey]
    unfillable: frozenset[SlotKey]  # neither recorded live nor in the chart
    absent: frozenset[SlotKey]
    incorrect: tuple[Row, ...]  # rows with a price that the exchange did not send in that slot
    duplicated: frozenset[SlotKey]

    @property
    def lost(self) -> frozenset[SlotKey]:
        """Slots that were not recorded live."""
        return self.expected - self.live

    @property
    def missing(self) -> frozenset[SlotKey]:
        """Slots without a row that the chart could still provide."""
        return self.absent - self.unfillable


def audit(rows: Collection[Row], history: ExchangeHistory, interval: int) -> AuditResult:
    """Compare the stored rows with the history of the exchange."""
    expected = frozenset(_expected(rows, history.now_us, interval))
    stored = [row.key for row in rows]
    live = expected & {row.key for row in rows if row.is_live}
    late = {row.key for row in rows if row.is_late(history)}
    return AuditResult(
        expected=expected,
        live=live,
        repaired=expected & {row.key for row in rows if not row.is_live},
        unfillable=expected - live - late - history.slots_in_chart(interval),
        absent=expected - set(stored),
        incorrect=tuple(row for row in rows if not _is_correct(row, history, interval)),
        duplicated=frozenset(key for key, count in Counter(stored).items() if count > 1),
    )


def changed_live_rows(before: Collection[Row], after: Collection[Row]) -> set[Row]:
    """Return the live rows that were changed or removed."""
    return {row for row in before if row.is_live} - set(after)


def _expected(rows: Collection[Row], now_us: int, interval: int) -> Iterator[SlotKey]:
    current_slot = now_us // MICROSECONDS // interval * interval
    live = [row.key for row in rows if row.is_live]
    for ticker in {key.ticker for key in live}:
        first = min(key.slot for key in live if key.ticker == ticker)
        yield from (SlotKey(ticker, slot) for slot in range(first, current_slot, interval))


def _is_correct(row: Row, history: ExchangeHistory, interval: int) -> bool:
    sent = history.answers if row.is_live else history.points
    was_sent = row.observation in sent or row.is_late(history)
    return was_sent and _slot_key(row.observation, interval) == row.key


def _slot_key(observation: Observation, interval: int) -> SlotKey:
    return SlotKey(
        observation.ticker, observation.observed_us // MICROSECONDS // interval * interval
    )
