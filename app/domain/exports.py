"""Exports: the rows of a ticker as a file, its name, its columns and its lines."""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from app.domain.lines import Column, LineFormat
from app.domain.prices import Span, TickerKey

COLUMNS: Final = ("exchange", "ticker", "timestamp", "price", "source")
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
    span: Span
    stored: Span | None
    has_decimals: bool

    @property
    def file_name(self) -> str:
        """Name the file after its ticker and its time."""
        ends = (self.span.start, self.span.end)
        found = self.stored or Span()
        moments = [
            own if own is not None else there for own, there in zip(ends, found, strict=True)
        ]
        parts = [*self.key, *(_compact(moment) for moment in moments if moment is not None)]
        return f"{'-'.join(parts)}.{self.form}"


@dataclass(frozen=True, slots=True)
class Layout:
    """A text file: its head, and what each line begins with, holds and ends with."""

    head: str
    start: str
    line: tuple[str | Column, ...]
    end: str

    @property
    def lines(self) -> LineFormat:
        """Give the lines as the database writes them, without the first start and the last end."""
        return LineFormat(self.line, self.end + self.start)

    def whole(self, lines: bytes) -> bytes:
        """Give lines that came without the first start and the last end."""
        return self.start.encode() + lines + self.end.encode()


def csv_layout(key: TickerKey) -> Layout:
    """Lay out CSV; no field needs quotes."""
    line = (Column.TIMESTAMP, ",", Column.PRICE, ",", Column.SOURCE)
    return Layout(",".join(COLUMNS) + "\n", f"{key.exchange},{key.ticker},", line, "\n")


def ndjson_layout(key: TickerKey) -> Layout:
    """Lay out a JSON object a line."""
    start = f'{{"exchange":"{key.exchange}","ticker":"{key.ticker}","timestamp":'
    line = (Column.TIMESTAMP, ',"price":', Column.PRICE, ',"source":"', Column.SOURCE)
    return Layout("", start, line, '"}\n')


def _compact(moment: int) -> str:
    return (EPOCH + dt.timedelta(seconds=moment)).isoformat()[:19].replace("-", "").replace(
        ":", ""
    ) + "Z"
