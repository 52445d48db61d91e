"""Parquet files of prices, written and read in chunks.

pyarrow takes time and memory to import, so only the functions that need it do.
"""

import io
from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal
from typing import Any, BinaryIO, Final

from app.domain.exports import COLUMNS, DECIMAL_DIGITS, DECIMAL_SCALE

ROWS_AT_ONCE: Final = 20_000


class ParquetWriter:
    """Converts CSV lines without a header to Parquet, and returns bytes as they are ready."""

    def __init__(self, *, has_decimals: bool) -> None:
        import pyarrow as pa  # noqa: PLC0415  # heavy
        import pyarrow.parquet as pq  # noqa: PLC0415  # heavy

        price = pa.decimal128(DECIMAL_DIGITS, DECIMAL_SCALE) if has_decimals else pa.string()
        types = {"timestamp": pa.int64(), "price": price}
        self._schema = pa.schema([(name, types.get(name, pa.string())) for name in COLUMNS])
        self._output = io.BytesIO()
        self._writer = pq.ParquetWriter(self._output, self._schema, compression="zstd")

    def add(self, lines: bytes) -> bytes:
        """Add lines as a row group, and return the next bytes of the file."""
        import pyarrow.csv as pc  # noqa: PLC0415  # heavy

        table = pc.read_csv(
            io.BytesIO(lines),
            pc.ReadOptions(use_threads=False, column_names=self._schema.names),
            convert_options=pc.ConvertOptions(column_types=self._schema),
        )
        self._writer.write_table(table)
        return self._drain()

    def finish(self) -> bytes:
        """Finish the file, and return its last bytes."""
        self._writer.close()
        return self._drain()

    def _drain(self) -> bytes:
        data = self._output.getvalue()
        self._output.seek(0)
        self._output.truncate()
        return data


def read_columns(file: BinaryIO, known: Collection[str]) -> list[str]:
    """Return the names of a Parquet file's known columns; case is ignored.

    Raises:
        ValueError: it is no Parquet file, or one of them is nested.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415  # heavy
    from pyarrow import types  # noqa: PLC0415  # heavy

    fields = pq.ParquetFile(file).schema_arrow
    columns = [field for field in fields if field.name.strip().lower() in known]
    for field in columns:
        if types.is_nested(field.type):
            kind = str(field.type).partition("<")[0]
            raise ValueError(f"its column {field.name} holds {kind}, not one value")
    return [field.name for field in columns]


def read_rows(file: BinaryIO, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield these columns of every row as text; decimals have no trailing zeros.

    Raises:
        ValueError: the file is broken, or a column can't be converted to text.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415  # heavy

    for batch in pq.ParquetFile(file).iter_batches(ROWS_AT_ONCE, columns=list(columns)):
        texts = [_texts(name, batch.column(name)) for name in columns]
        yield from zip(*texts, strict=True)


def _texts(name: str, column: Any) -> list[str]:  # noqa: ANN401  # an array of pyarrow, which has no types
    import pyarrow as pa  # noqa: PLC0415  # heavy
    import pyarrow.compute as pc  # noqa: PLC0415  # heavy

    try:
        texts = column.cast(pa.string())
    except pa.ArrowException as error:
        raise ValueError(f"its column {name} can't be read: {error}") from None
    if pa.types.is_decimal(column.type) and column.type.scale > 0:
        if pc.any(pc.match_substring(texts, "E")).as_py():  # as Arrow writes small ones
            return [_format_decimal(price) for price in column.to_pylist()]
        texts = pc.utf8_rtrim(pc.utf8_rtrim(texts, "0"), ".")
    filled: list[str] = texts.fill_null("").to_pylist()
    return filled


def _format_decimal(price: Decimal | None) -> str:
    if price is None:
        return ""
    text = f"{price:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
