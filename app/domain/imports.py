"""Imports: what is requested, how far it is, and its result."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self, TypeAlias

from app.domain.gaps import last_due_slot
from app.domain.prices import TickerKey
from app.domain.recordings import Recording
from app.domain.slots import MICROSECONDS


class BadRow(NamedTuple):
    """A row that can't be imported: its line in the file, and its fault."""

    line: int
    fault: str


class ImportProgress(NamedTuple):
    """The progress of an import: the part done, from 0 to 1, and the rows read and stored."""

    path: Path
    fraction: float
    read: int
    stored: int


OnProgress: TypeAlias = Callable[[ImportProgress], object]


@dataclass(slots=True)
class ImportResult:
    """The result of an import: rows read, added and bad, the first bad ones, and new recordings."""

    read: int = 0
    added: int = 0
    bad: int = 0
    first_bad: list[BadRow] = field(default_factory=list)
    promised: list[Recording] = field(default_factory=list)

    @property
    def already_stored(self) -> int:
        """Return the number of good rows whose slot already had a row."""
        return self.read - self.bad - self.added


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """How to import a file; the exchange and ticker are for files without such columns.

    Timestamps are rounded down to slots of the interval. Bad rows end an import unless skipped. The
    file is compared with its manifest, if there is one.
    """

    exchange: str | None
    ticker: str | None
    interval_seconds: int
    skips_bad_rows: bool = False
    manifest: Path | None = None


class LatestTimestamps(NamedTuple):
    """The latest allowed timestamp of a row, in microseconds: now, or earlier for some tickers.

    The keys are formatted as in staged rows: the exchange, a comma, the ticker.
    """

    now_us: int
    by_ticker: Mapping[str, int]

    @classmethod
    def of_recordings(
        cls,
        database_us: int,
        exchange_now_us: Mapping[TickerKey, int],
        recordings: Iterable[Recording],
        interval_seconds: int,
    ) -> Self:
        """Limit tickers that are being recorded to the end of their last due slot."""
        due = {}
        for recording in recordings:
            if recording.is_open:
                step = max(interval_seconds, recording.interval_seconds)
                end = last_due_slot(exchange_now_us[recording.key], step) + step
                due[",".join(recording.key)] = end * MICROSECONDS - 1
        return cls(max([database_us, *exchange_now_us.values()]), due)

    def for_ticker(self, key: str) -> int:
        """Return the latest allowed timestamp of a ticker, in microseconds."""
        return min(self.now_us, self.by_ticker.get(key, self.now_us))
