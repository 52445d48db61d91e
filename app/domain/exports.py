"""Exports: the rows of a ticker as a file, its name and columns."""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from app.domain.prices import TickerKey, TimeRange
from app.domain.times import floor_seconds

COLUMNS: Final = ("exchange", "ticker", "timestamp", "price", "source")
DECIMAL_DIGITS: Final = 38
DECIMAL_SCALE: Final = 18
EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class ExportFormat(StrEnum):
    """The file format of an export."""

    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"


@dataclass(frozen=True, slots=True)
class Export:
    """A ticker's rows of a range, to be written in a format.

    `stored` holds the first and the last slot, None without any rows. `has_decimals` tells whether
    all prices fit into a decimal of 38 digits, 18 of them after the point. With `as_of_us`, the
    rows are those that were stored by that moment.
    """

    key: TickerKey
    file_format: ExportFormat
    time_range: TimeRange
    stored: TimeRange | None
    has_decimals: bool
    as_of_us: int | None = None

    @property
    def file_name(self) -> str:
        """Return a file name of the ticker and the requested or stored range of time."""
        stored = self.stored or TimeRange()
        ends = [
            end if end is not None else stored_end
            for end, stored_end in zip(self.time_range, stored, strict=True)
        ]
        parts = [*self.key, *(_format_compact(end) for end in ends if end is not None)]
        if self.as_of_us is not None:
            parts += ["as-of", _format_compact(floor_seconds(self.as_of_us))]
        return f"{'-'.join(parts)}.{self.file_format}"


def _format_compact(second: int) -> str:
    text = (EPOCH + dt.timedelta(seconds=second)).isoformat()[:19]
    return text.replace("-", "").replace(":", "") + "Z"
