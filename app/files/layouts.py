"""How a row is laid out in the text formats: items of a JSON list, CSV, NDJSON."""

from dataclasses import dataclass
from typing import Final

from app.domain.encoded_rows import Column, RowTemplate
from app.domain.exports import COLUMNS
from app.domain.prices import TickerKey

ITEM_START: Final = '{"timestamp":'
ITEM_END: Final = '"}'
JSON_ITEM: Final = RowTemplate(
    (Column.TIMESTAMP, ',"price":', Column.PRICE, ',"source":"', Column.SOURCE),
    separator=f"{ITEM_END},{ITEM_START}",
)
"""Items of a list, without the first one's start and the last one's end.

The database writes them, so that no object is made of a row.
"""


@dataclass(frozen=True, slots=True)
class TextLayout:
    """A text file: its head, and what each line begins with, holds and ends with."""

    head: str
    start: str
    line: tuple[str | Column, ...]
    end: str

    @property
    def lines(self) -> RowTemplate:
        """Give the lines as the database writes them, without the first start and the last end."""
        return RowTemplate(self.line, self.end + self.start)

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
