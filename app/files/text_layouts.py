"""The text formats of a row: item of a JSON list, CSV and NDJSON."""

from dataclasses import dataclass
from typing import Final

from app.domain.encoded_rows import Column, RowTemplate
from app.domain.exports import COLUMNS
from app.domain.prices import TickerKey

ITEM_START: Final = '{"timestamp":'
ITEM_END: Final = '"}'
JSON_COLUMNS: Final = (Column.TIMESTAMP, ',"price":', Column.PRICE, ',"source":"', Column.SOURCE)
JSON_ITEM: Final = RowTemplate(JSON_COLUMNS, separator=f"{ITEM_END},{ITEM_START}")
"""Items of a list, without the start of the first and the end of the last one.

The database formats them, so that Python creates no object per row.
"""


@dataclass(frozen=True, slots=True)
class TextLayout:
    """The format of a text file: its header, and each line's start, columns and end."""

    header: str
    start: str
    columns: tuple[str | Column, ...]
    end: str

    @property
    def template(self) -> RowTemplate:
        """Return the template of lines without the first one's start and the last one's end."""
        return RowTemplate(self.columns, self.end + self.start)

    def wrap(self, lines: bytes) -> bytes:
        """Add the start of the first and the end of the last line."""
        return self.start.encode() + lines + self.end.encode()


def csv_layout(key: TickerKey) -> TextLayout:
    """Return the layout of CSV; no field needs quotes."""
    columns = (Column.TIMESTAMP, ",", Column.PRICE, ",", Column.SOURCE)
    return TextLayout(",".join(COLUMNS) + "\n", f"{key.exchange},{key.ticker},", columns, "\n")


def ndjson_layout(key: TickerKey) -> TextLayout:
    """Return the layout of NDJSON, one object per line."""
    start = f'{{"exchange":"{key.exchange}","ticker":"{key.ticker}","timestamp":'
    return TextLayout("", start, JSON_COLUMNS, f"{ITEM_END}\n")
