"""Exports: the rows of a ticker as a file, its name and its columns."""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from app.domain.prices import TickerKey, TimeRange

COLUMNS: Final = ("exchange", "ticker", "timestamp", "price", "source")
DECIMAL_DIGITS: Final = 38
DECIMAL_SCALE: Final = 18
EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class ExportFormat(StrEnum):
    """What an export is written as."""

    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"


@dataclass(frozen=True, slots=True)
class Export:
    """What is exported: a ticker's rows of a span, and the first and the last of them.

    `stored` is None where there are none; `has_decimals` tells whether all prices fit into a
    decimal of 38 digits, 18 of them after the point.
    """

    key: TickerKey
    form: ExportFormat
    span: TimeRange
    stored: TimeRange | None
    has_decimals: bool

    @property
    def file_name(self) -> str:
        """Name the file after its ticker and its time."""
        ends = (self.span.start, self.span.end)
        found = self.stored or TimeRange()
        moments = [
            own if own is not None else there for own, there in zip(ends, found, strict=True)
        ]
        parts = [*self.key, *(_compact(moment) for moment in moments if moment is not None)]
        return f"{'-'.join(parts)}.{self.form}"


def _compact(moment: int) -> str:
    return (EPOCH + dt.timedelta(seconds=moment)).isoformat()[:19].replace("-", "").replace(
        ":", ""
    ) + "Z"
