"""The command that writes what is stored into a file."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from app.cli.context import command_runtime
from app.cli.options import FromMoment, ToMoment, span_between, split_ticker_option
from app.domain.exports import ExportFormat
from app.domain.prices import DEFAULT_EXCHANGE, TickerKey, TimeRange

PACKED = ".gz"


def export(  # noqa: PLR0913  # a command's options are many
    *,
    ticker: Annotated[str, typer.Option(help="A ticker, such as btc_usd or exchange:ticker.")],
    exchange: Annotated[str | None, typer.Option(help="Its exchange; deribit if left out.")] = None,
    from_: FromMoment = None,
    to: ToMoment = None,
    form: Annotated[
        ExportFormat | None,
        typer.Option("--format", help="By the file's name if left out, else csv."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="A file, gzipped if its name ends in .gz; the output if left out."),
    ] = None,
) -> None:
    """Write every price of a ticker as CSV, NDJSON or Parquet."""
    chosen = form or _format_of(output)
    if output is None and chosen is ExportFormat.PARQUET:
        raise typer.BadParameter("Parquet needs a file: --output prices.parquet")
    named_exchange, name = split_ticker_option(ticker, exchange)
    key = TickerKey(named_exchange or DEFAULT_EXCHANGE, name or "")
    span = span_between(from_, to)
    with _written(output) as file:
        asyncio.run(_export(key, span, chosen, file, packed=_is_packed(output)))


async def _export(
    key: TickerKey, span: TimeRange, form: ExportFormat, file: BinaryIO, *, packed: bool
) -> None:
    async with command_runtime() as runtime:
        found = await runtime.exports.prepare(key, span, form)
        if found.stored is None:
            await runtime.reader.require_known_ticker(key)
        async with aclosing(runtime.exports.stream(found, gzipped=packed)) as pieces:
            async for piece in pieces:
                await asyncio.to_thread(file.write, piece)


@contextmanager
def _written(path: Path | None) -> Iterator[BinaryIO]:
    """Open the output, or a file that gets its name when it is whole."""
    if path is None:
        yield sys.stdout.buffer
        return
    unfinished = path.with_name(f"{path.name}.part")
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        sys.exit(f"{path}: {error.strerror}")
    finally:
        unfinished.unlink(missing_ok=True)


def _is_packed(path: Path | None) -> bool:
    return path is not None and path.suffix == PACKED


def _format_of(path: Path | None) -> ExportFormat:
    if path is None:
        return ExportFormat.CSV
    name = path.name.removesuffix(PACKED).rpartition(".")[2]
    return ExportFormat(name) if name in set(ExportFormat) else ExportFormat.CSV
