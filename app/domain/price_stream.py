"""The stream of new rows: positions in it, and what it tells."""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from app.domain.prices import MAX_SECOND, MIN_SECOND, Source, TickerKey
from app.domain.slots import Slot

KEPT_SECONDS: Final = 3600
"""A position can be resumed for so long."""
NO_POSITION: Final = "no position"
MAX_POSITION_CHARACTERS: Final = 8_000
SNAPSHOT_PATTERN: Final = re.compile(
    r"([1-9][0-9]{0,17}):([1-9][0-9]{0,17}):([0-9]{1,18}(?:,[0-9]{1,18})*)?"
)
"""PostgreSQL's text of a snapshot: the first running transaction, the next one, and the others."""


class PartOfBatch(NamedTuple):
    """The last row that was told of a batch: the rows that `visible` shows and the position not."""

    visible: str
    key: TickerKey
    slot: Slot


class StreamPosition(NamedTuple):
    """What a reader was told: all rows that a snapshot of the database shows, and part of a batch.

    `history` names the database and the timeline that number the snapshot's transactions.
    `seconds` is the database's clock at the snapshot.
    """

    history: str
    seconds: int
    visible: str
    part: PartOfBatch | None = None

    def reaches(self, later: "StreamPosition") -> bool:
        """Return whether every row that was added from here to a later position is still known."""
        is_same_history = self.history == later.history
        elapsed = later.seconds - self.seconds
        return (
            is_same_history
            and 0 <= elapsed <= KEPT_SECONDS
            and _next_transaction(self.visible) <= _next_transaction(later.visible)
        )

    def end_of_batch(self) -> "StreamPosition | None":
        """Return the position at the end of a batch that was told in part."""
        return self.part and self._replace(visible=self.part.visible, part=None)

    def within(self, batch_end: "StreamPosition", key: TickerKey, slot: Slot) -> "StreamPosition":
        """Return the position after a row of the batch that begins here."""
        return self._replace(part=PartOfBatch(batch_end.visible, key, slot))

    def encode(self) -> str:
        """Return an opaque text, for an address or a header."""
        values = [self.history, self.seconds, self.visible]
        if self.part:
            values += [self.part.visible, *self.part.key, self.part.slot]
        text = json.dumps(values, separators=(",", ":"))
        return urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Self:
        """Parse what `encode` returned.

        Raises:
            ValueError: it is something else.
        """
        values = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        match values:
            case [str(history), int(seconds), str(visible)]:
                part = None
            case [
                str(history),
                int(seconds),
                str(visible),
                str(end),
                str(name),
                str(ticker),
                int(slot),
            ]:
                part = PartOfBatch(end, TickerKey(name, ticker), Slot(slot))
                _require_snapshot(end)
                if not MIN_SECOND <= slot <= MAX_SECOND or "\0" in name + ticker:
                    raise ValueError(NO_POSITION)
            case _:
                raise ValueError(NO_POSITION)
        _require_snapshot(visible)
        return cls(history, seconds, visible, part)


class NewRow(NamedTuple):
    """A row that was added; the price has the digits that are stored."""

    key: TickerKey
    slot: Slot
    price: str
    source: Source


@dataclass(frozen=True, slots=True, eq=False)
class News:
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

    def of(self, keys: frozenset[TickerKey]) -> list[tuple[NewRow, StreamPosition]]:
        """Return the rows of some tickers, each with the position after it."""
        rows = [row for row in self.rows if row.key in keys]
        positions = [self.start.within(self.batch_end, row.key, row.slot) for row in rows[:-1]]
        return list(zip(rows, [*positions, self.end], strict=False))


@dataclass(frozen=True, slots=True, eq=False)
class Reset:
    """The rows after a position are not known any more: all of these must be read again.

    `ranges` are the first and the last slot of each ticker that has rows.
    """

    ranges: dict[TickerKey, tuple[Slot, Slot]]
    end: StreamPosition


def _next_transaction(visible: str) -> int:
    return int(visible.split(":")[1])


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
