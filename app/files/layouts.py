"""How a row is laid out in the text formats, CSV and NDJSON."""

from dataclasses import dataclass

from app.domain.exports import COLUMNS
from app.domain.lines import Column, LineFormat
from app.domain.prices import TickerKey


@dataclass(frozen=True, slots=True)
class TextLayout:
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


def csv_layout(key: TickerKey) -> TextLayout:
    """Lay out CSV; no field needs quotes."""
    line = (Column.TIMESTAMP, ",", Column.PRICE, ",", Column.SOURCE)
    return TextLayout(",".join(COLUMNS) + "\n", f"{key.exchange},{key.ticker},", line, "\n")


def ndjson_layout(key: TickerKey) -> TextLayout:
    """Lay out a JSON object a line."""
    start = f'{{"exchange":"{key.exchange}","ticker":"{key.ticker}","timestamp":'
    line = (Column.TIMESTAMP, ',"price":', Column.PRICE, ',"source":"', Column.SOURCE)
    return TextLayout("", start, line, '"}\n')
