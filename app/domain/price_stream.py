"""The stream of new rows: positions in it, and what is sent."""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from app.domain.changed_slots import CHANGES_RETENTION_SECONDS
from app.domain.prices import MAX_SECOND, MIN_SECOND, Source, TickerKey
from app.domain.slots import Slot

NO_POSITION: Final = "no position"
MAX_POSITION_CHARACTERS: Final = 8_000
SNAPSHOT_PATTERN: Final = re.compile(
    r"([1-9][0-9]{0,17}):([1-9][0-9]{0,17}):([0-9]{1,18}(?:,[0-9]{1,18})*)?"
)
"""PostgreSQL's text of a snapshot: the first running transaction, the next one, and the others."""


class PartOfBatch(NamedTuple):
    """The last row that was sent of the batch that ends with a snapshot."""

    snapshot: str
    key: TickerKey
    slot: Slot


class StreamPosition(NamedTuple):
    """What a reader was sent: all rows that a snapshot of the database shows, and part of a batch.

    `numbering` names the cluster, its timeline and its last recovery from a crash. After a change
    of one of them, transactions are numbered anew.
    `taken_at` is the database's clock at the snapshot.
    """

    numbering: str
    taken_at: int
    snapshot: str
    part: PartOfBatch | None = None

    def can_resume_at(self, later: "StreamPosition") -> bool:
        """Return whether every row that was added from here to a later position is still noted."""
        is_same_numbering = self.numbering == later.numbering
        elapsed = later.taken_at - self.taken_at
        return (
            is_same_numbering
            and 0 <= elapsed <= CHANGES_RETENTION_SECONDS
            and _next_transaction(self.snapshot) <= _next_transaction(later.snapshot)
        )

    def end_of_batch(self) -> "StreamPosition | None":
        """Return the position at the end of a batch that was sent in part."""
        return self.part and self._replace(snapshot=self.part.snapshot, part=None)

    def after_row(
        self, batch_end: "StreamPosition", key: TickerKey, slot: Slot
    ) -> "StreamPosition":
        """Return the position after a row of the batch that begins here."""
        return self._replace(part=PartOfBatch(batch_end.snapshot, key, slot))

    def encode(self) -> str:
        """Return an opaque text, for an address or a header."""
        values = [self.numbering, self.taken_at, self.snapshot]
        if self.part:
            values += [self.part.snapshot, *self.part.key, self.part.slot]
        text = json.dumps(values, separators=(",", ":"))
        return urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Self:
        """Parse what `encode` returned.

        Raises:
            ValueError: it is something else.
        """
        try:
            values = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        except RecursionError as error:
            raise ValueError(NO_POSITION) from error
        match values:
            case [str(numbering), int(taken_at), str(snapshot)]:
                part = None
            case [
                str(numbering),
                int(taken_at),
                str(snapshot),
                str(end),
                str(name),
                str(ticker),
                int(slot),
            ]:
                part = PartOfBatch(end, TickerKey(name, ticker), Slot(slot))
                _require_snapshot(end)
                if not MIN_SECOND <= slot <= MAX_SECOND or b"\0" in (name + ticker).encode():
                    raise ValueError(NO_POSITION)
            case _:
                raise ValueError(NO_POSITION)
        _require_snapshot(snapshot)
        return cls(numbering, taken_at, snapshot, part)


class NewRow(NamedTuple):
    """A row that was added; the price has the digits that are stored."""

    key: TickerKey
    slot: Slot
    price: str
    source: Source


@dataclass(frozen=True, slots=True, eq=False)
class NewRows:
    """Rows that were added after a position, in the order of their ticker and slot.

    `end` is the position after the last row that was read, `batch_end` that of the whole batch.
    """

    start: StreamPosition
    end: StreamPosition
    batch_end: StreamPosition
    rows: Sequence[NewRow]

    @property
    def has_more(self) -> bool:
        """Return whether rows of the batch are left."""
        return self.end.part is not None

    def rows_of(self, keys: frozenset[TickerKey]) -> list[tuple[NewRow, StreamPosition]]:
        """Return the rows of some tickers, each with the position after it."""
        rows = [row for row in self.rows if row.key in keys]
        positions = [self.start.after_row(self.batch_end, row.key, row.slot) for row in rows[:-1]]
        return list(zip(rows, [*positions, self.end], strict=False))


@dataclass(frozen=True, slots=True, eq=False)
class Reset:
    """The rows after a position are not known any more: all of these must be read again.

    `ranges` are the first and the last slot of each ticker; all time until now without rows.
    """

    ranges: dict[TickerKey, tuple[Slot, Slot]]
    end: StreamPosition


def _next_transaction(snapshot: str) -> int:
    return int(snapshot.split(":")[1])


def _require_snapshot(text: str) -> None:
    """Make sure that PostgreSQL takes a snapshot."""
    match = SNAPSHOT_PATTERN.fullmatch(text)
    if match is None:
        raise ValueError(NO_POSITION)
    oldest, following = int(match[1]), int(match[2])
    running = [int(number) for number in match[3].split(",")] if match[3] else []
    in_order = [oldest, *running, following]
    if in_order != sorted(in_order) or following in running:
        raise ValueError(NO_POSITION)
