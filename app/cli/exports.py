"""The command `export`, which writes stored prices into a file."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from app.cli.command_runtime import command_runtime
from app.cli.options import FromOption, ToOption, parse_range, split_ticker_options
from app.domain.export_manifests import ExportDigest, ExportManifest
from app.domain.exports import ExportFormat
from app.domain.prices import DEFAULT_EXCHANGE, TickerKey, TimeRange

GZIP_SUFFIX = ".gz"


def export(  # noqa: PLR0913  # a command's options are many
    *,
    ticker: Annotated[str, typer.Option(help="A ticker, such as btc_usd or exchange:ticker.")],
    exchange: Annotated[str | None, typer.Option(help="Its exchange; deribit if left out.")] = None,
    from_: FromOption = None,
    to: ToOption = None,
    format_: Annotated[
        ExportFormat | None,
        typer.Option("--format", help="By the file's name if left out, else csv."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="A file, gzipped if its name ends in .gz; the output if left out."),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(help="A file for the manifest, by which `import` checks the export."),
    ] = None,
) -> None:
    """Write every price of a ticker as CSV, NDJSON or Parquet."""
    chosen = format_ or _format_of(output)
    if output is None and chosen is ExportFormat.PARQUET:
        raise typer.BadParameter("Parquet needs a file: --output prices.parquet")
    named_exchange, name = split_ticker_options(ticker, exchange)
    key = TickerKey(named_exchange or DEFAULT_EXCHANGE, name or "")
    time_range = parse_range(from_, to)
    is_gzip = output is not None and output.suffix == GZIP_SUFFIX
    with _open_output(output) as file:
        digest = None if manifest is None else ExportDigest()
        described = asyncio.run(_export(key, time_range, chosen, file, digest, is_gzip=is_gzip))
    if manifest is not None and described is not None:
        with _open_output(manifest) as file:
            file.write(json.dumps(described.as_json(), indent=2).encode() + b"\n")


async def _export(  # noqa: PLR0913  # a command's options are many
    key: TickerKey,
    time_range: TimeRange,
    format_: ExportFormat,
    file: BinaryIO,
    digest: ExportDigest | None,
    *,
    is_gzip: bool,
) -> ExportManifest | None:
    """Write the file, and describe it if its digest is wanted."""
    async with command_runtime() as runtime:
        selected = await runtime.exports.prepare(key, time_range, format_)
        if selected.stored is None:
            await runtime.reader.require_known_ticker(key)
        stream = runtime.exports.stream(selected, gzipped=is_gzip, digest=digest)
        async with aclosing(stream) as chunks:
            async for chunk in chunks:
                await asyncio.to_thread(file.write, chunk)
        if digest is None:
            return None
        (coverage,) = await runtime.coverage.measure(time_range, [key])
    return ExportManifest(selected, digest, coverage)


@contextmanager
def _open_output(path: Path | None) -> Iterator[BinaryIO]:
    """Open the standard output, or a file that gets its name when it is complete."""
    if path is None:
        yield sys.stdout.buffer
        return
    partial_file = path.with_name(f"{path.name}.part")
    try:
        with partial_file.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial_file.replace(path)
    except OSError as error:
        sys.exit(f"{path}: {error.strerror}")
    finally:
        partial_file.unlink(missing_ok=True)


def _format_of(path: Path | None) -> ExportFormat:
    if path is None:
        return ExportFormat.CSV
    name = path.name.removesuffix(GZIP_SUFFIX).rpartition(".")[2]
    return ExportFormat(name) if name in set(ExportFormat) else ExportFormat.CSV
