"""Files of prices, CSV or Parquet, gzipped or not, read as rows of text."""

import csv
import gzip
import io
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

from app.domain.import_rows import KNOWN_COLUMNS
from app.files.parquet import read_columns, read_rows

GZIP_MAGIC: Final = b"\x1f\x8b"
PARQUET_MAGIC: Final = b"PAR1"
READ_ERRORS: Final = (EOFError, OSError, ValueError, zlib.error)
"""The exceptions of reading a broken file."""

Rows = Iterator[Sequence[str]]


@dataclass(frozen=True, slots=True)
class PriceFile:
    """An open file of prices: its columns, its rows (blank ones are empty), and its progress."""

    columns: Sequence[str]
    rows: Rows
    first_line: int
    size: int
    raw: BinaryIO

    @property
    def fraction_read(self) -> float:
        """Return the part of the file that is read, from 0 to 1."""
        return self.raw.tell() / max(1, self.size)


@contextmanager
def open_prices(path: Path) -> Iterator[PriceFile]:
    """Open a file of prices; its format is detected.

    Raises:
        OSError, ValueError: it can't be read.
    """
    with ExitStack() as stack:
        raw = stack.enter_context(path.open("rb"))
        plain: BinaryIO = raw
        if _begins_with(raw, GZIP_MAGIC):
            plain = cast("BinaryIO", stack.enter_context(gzip.open(raw)))
        is_parquet = _begins_with(plain, PARQUET_MAGIC)
        if is_parquet and plain is not raw:
            # into a temporary file, because Parquet is read from its end
            compressed, plain = plain, stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(compressed, plain)
        size = path.stat().st_size
        if is_parquet:
            columns = read_columns(plain, KNOWN_COLUMNS)
            yield PriceFile(columns, read_rows(plain, columns), 1, size, raw)
        else:
            text = stack.enter_context(io.TextIOWrapper(plain, "utf-8-sig", errors="replace"))
            yield PriceFile(_split_line(text.readline()), map(_split_line, text), 2, size, raw)


def _begins_with(file: BinaryIO, magic: bytes) -> bool:
    begins = file.read(len(magic)) == magic
    file.seek(0)
    return begins


def _split_line(line: str) -> Sequence[str]:
    """Split a line; each line is one row, so a stray quote spoils only its own line."""
    line = line.strip()
    if '"' not in line:
        return line.split(",") if line else ()
    try:
        return next(csv.reader([line]))
    except csv.Error:
        return (line,)
