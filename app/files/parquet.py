"""Parquet files of prices, written and read a piece at a time.

pyarrow takes time and memory to import, so only what needs it does.
"""

import io
from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal
from typing import Any, BinaryIO, Final

from app.domain.exports import COLUMNS, DECIMAL_DIGITS, DECIMAL_SCALE

"""Of a price as a decimal."""
ROWS_AT_ONCE: Final = 20_000


class ParquetWriter:
    """Makes a Parquet file of CSV lines without a head; the bytes come out as they are ready."""

    def __init__(self, *, has_decimals: bool) -> None:
        import pyarrow as pa  # noqa: PLC0415  # heavy
        import pyarrow.parquet as pq  # noqa: PLC0415  # heavy

        price = pa.decimal128(DECIMAL_DIGITS, DECIMAL_SCALE) if has_decimals else pa.string()
        types = {"timestamp": pa.int64(), "price": price}
        self._schema = pa.schema([(name, types.get(name, pa.string())) for name in COLUMNS])
        self._made = _Outlet()
        self._writer = pq.ParquetWriter(self._made, self._schema, compression="zstd")

    def add(self, lines: bytes) -> bytes:
        """Add lines as a group of rows; give what is ready of the file."""
        import pyarrow.csv as pc  # noqa: PLC0415  # heavy

        table = pc.read_csv(
            io.BytesIO(lines),
            pc.ReadOptions(use_threads=False, column_names=self._schema.names),
            convert_options=pc.ConvertOptions(column_types=self._schema),
        )
        self._writer.write_table(table)
        return self._made.taken()

    def finish(self) -> bytes:
        """End the file; give the rest of it."""
        self._writer.close()
        return self._made.taken()


def read_columns(file: BinaryIO, known: Collection[str]) -> list[str]:
    """Name those columns of a Parquet file that are known, by names in lower case.

    Raises:
        ValueError: it is none, or one of them holds lists and the like.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415  # heavy
    from pyarrow import types  # noqa: PLC0415  # heavy

    fields = pq.ParquetFile(file).schema_arrow
    found = [field for field in fields if field.name.strip().lower() in known]
    for field in found:
        if types.is_nested(field.type):
            raise ValueError(f"its column {field.name} holds {_shown(field.type)}, not one value")
    return [field.name for field in found]


def read_rows(file: BinaryIO, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Give these columns of every row as text; decimals come without zeros at their end.

    Raises:
        ValueError: the file is broken, or a column has no text.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415  # heavy

    for batch in pq.ParquetFile(file).iter_batches(ROWS_AT_ONCE, columns=list(columns)):
        texts = [_texts(name, batch.column(name)) for name in columns]
        yield from zip(*texts, strict=True)


def _shown(kind: object) -> str:
    return str(kind).partition("<")[0]


def _texts(name: str, column: Any) -> list[str]:  # noqa: ANN401  # an array of pyarrow, which has no types
    import pyarrow as pa  # noqa: PLC0415  # heavy
    import pyarrow.compute as pc  # noqa: PLC0415  # heavy

    try:
        texts = column.cast(pa.string())
    except pa.ArrowException as error:
        raise ValueError(f"its column {name} can't be read: {error}") from None
    if pa.types.is_decimal(column.type) and column.type.scale > 0:
        if pc.any(pc.match_substring(texts, "E")).as_py():  # as Arrow writes small ones
            return [_plain(price) for price in column.to_pylist()]
        texts = pc.utf8_rtrim(pc.utf8_rtrim(texts, "0"), ".")
    filled: list[str] = texts.fill_null("").to_pylist()
    return filled


def _plain(price: Decimal | None) -> str:
    if price is None:
        return ""
    text = f"{price:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


class _Outlet(io.RawIOBase):
    """A file that gives away what was written to it."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: Any, /) -> int:  # noqa: ANN401  # any buffer
        piece = bytes(data)
        self._held.append(piece)
        self._position += len(piece)
        return len(piece)

    def taken(self) -> bytes:
        made = b"".join(self._held)
        self._held.clear()
        return made
