"""What the record should hold, computed from what the exchange itself says that it gave.

Nothing of the service is used here: one bug must not hide on both sides.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

MICROSECONDS = 1_000_000


class Place(NamedTuple):
    """A slot of a ticker."""

    ticker: str
    slot: int


class Given(NamedTuple):
    """A value that the exchange gave: at which of its microseconds, and in which way."""

    ticker: str
    observed_us: int
    price: Decimal
    source: str  # "live": an answer of its own; "backfill": a point of the chart


class Row(NamedTuple):
    """A stored price."""

    place: Place
    given: Given
    created_at: datetime

    @property
    def is_live(self) -> bool:
        return self.given.source == "live"

    def is_late(self, evidence: "Evidence") -> bool:
        """Tell whether it is an answer that was stored when its slot had been declared due."""
        return not self.is_live and self.given._replace(source="live") in evidence.answers

    def is_live_after(self, moment_us: int) -> bool:
        return self.is_live and self.given.observed_us > moment_us


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that the exchange gave, or would give, up to a moment of its clock."""

    now_us: int
    answers: frozenset[Given]
    points: frozenset[Given]

    def could_give(self, interval: int) -> set[Place]:
        """Tell which places the chart has a value for."""
        return {_place(point, interval) for point in self.points}


@dataclass(frozen=True, slots=True)
class Findings:
    """A record held against the truth."""

    expected: frozenset[Place]  # from each ticker's first live row to the newest slot that is over
    live: frozenset[Place]
    repaired: frozenset[Place]
    unfillable: frozenset[Place]  # neither recorded when it happened nor in the chart
    absent: frozenset[Place]
    false: tuple[Row, ...]  # rows with a value that the exchange did not give in that slot
    doubled: frozenset[Place]

    @property
    def lost(self) -> frozenset[Place]:
        """What was not recorded when it happened."""
        return self.expected - self.live

    @property
    def missing(self) -> frozenset[Place]:
        """What is not there though it could be."""
        return self.absent - self.unfillable


def judge(rows: Collection[Row], evidence: Evidence, interval: int) -> Findings:
    """Hold the stored rows against what the exchange says."""
    expected = frozenset(_expected(rows, evidence.now_us, interval))
    stored = [row.place for row in rows]
    live = expected & {row.place for row in rows if row.is_live}
    late = {row.place for row in rows if row.is_late(evidence)}
    return Findings(
        expected=expected,
        live=live,
        repaired=expected & {row.place for row in rows if not row.is_live},
        unfillable=expected - live - late - evidence.could_give(interval),
        absent=expected - set(stored),
        false=tuple(row for row in rows if not _is_true(row, evidence, interval)),
        doubled=frozenset(place for place, rows_of_it in Counter(stored).items() if rows_of_it > 1),
    )


def changed(before: Collection[Row], after: Collection[Row]) -> set[Row]:
    """Give the live rows that are no longer what they were."""
    return {row for row in before if row.is_live} - set(after)


def _expected(rows: Collection[Row], now_us: int, interval: int) -> Iterator[Place]:
    present = now_us // MICROSECONDS // interval * interval
    live = [row.place for row in rows if row.is_live]
    for ticker in {place.ticker for place in live}:
        first = min(place.slot for place in live if place.ticker == ticker)
        yield from (Place(ticker, slot) for slot in range(first, present, interval))


def _is_true(row: Row, evidence: Evidence, interval: int) -> bool:
    said = evidence.answers if row.is_live else evidence.points
    is_said = row.given in said or row.is_late(evidence)
    return is_said and _place(row.given, interval) == row.place


def _place(given: Given, interval: int) -> Place:
    return Place(given.ticker, given.observed_us // MICROSECONDS // interval * interval)
