"""The command `export`, which writes stored prices into a file."""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from app.cli.command_runtime import command_runtime
from app.cli.options import (
    AsOfOption,
    FromOption,
    JsonOption,
    ToOption,
    parse_range,
    resolve_time,
    split_ticker_options,
)
from app.cli.progress import progress_bar
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
    as_of: AsOfOption = None,
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
    as_json: JsonOption = False,
) -> None:
    """Write every price of a ticker as CSV, NDJSON or Parquet."""
    chosen = format_ or _format_of(output)
    if output is None and as_json:
        raise typer.BadParameter("--json needs a file for the prices: --output prices.csv")
    if output is None and chosen is ExportFormat.PARQUET:
        raise typer.BadParameter("Parquet needs a file: --output prices.parquet")
    named_exchange, name = split_ticker_options(ticker, exchange)
    key = TickerKey(named_exchange or DEFAULT_EXCHANGE, name or "")
    if (manifest is not None or as_json) and as_of is not None:
        raise typer.BadParameter("--manifest and --json name today's gaps: leave --as-of out")
    time_range = parse_range(from_, to)
    as_of_us = resolve_time(as_of)
    is_gzip = output is not None and output.suffix == GZIP_SUFFIX
    request = (key, time_range, chosen, as_of_us)
    is_described = manifest is not None or as_json
    with _open_output(output) as file, _showing_progress(output) as on_progress:
        described = asyncio.run(
            _export(request, file, on_progress, is_gzip=is_gzip, is_described=is_described)
        )
    if described is None:
        return
    if manifest is not None:
        with _open_output(manifest) as file:
            file.write(json.dumps(described.as_json(), indent=2).encode() + b"\n")
    if as_json:
        print(json.dumps({"file": str(output), **described.as_json()}))


async def _export(
    request: tuple[TickerKey, TimeRange, ExportFormat, int | None],
    file: BinaryIO,
    on_progress: Callable[[float], None] | None,
    *,
    is_gzip: bool,
    is_described: bool,
) -> ExportManifest | None:
    """Write the file, and describe it if that is wanted."""
    key, time_range, *_ = request
    digest = ExportDigest() if is_described or on_progress else None
    async with command_runtime() as runtime:
        selected = await runtime.exports.prepare(*request)
        if selected.stored is None:
            await runtime.reader.require_known_ticker(key)
        stream = runtime.exports.stream(selected, gzipped=is_gzip, digest=digest)
        async with aclosing(stream) as chunks:
            async for chunk in chunks:
                await asyncio.to_thread(file.write, chunk)
                if on_progress and digest:
                    on_progress(_fraction(digest.last, selected.stored))
        if digest is None or not is_described:
            return None
        (coverage,) = await runtime.coverage.measure(time_range, [key])
    return ExportManifest(selected, digest, coverage)


@contextmanager
def _showing_progress(output: Path | None) -> Iterator[Callable[[float], None] | None]:
    """Draw a bar on a terminal, unless the prices are shown there."""
    if not sys.stderr.isatty() or (output is None and sys.stdout.isatty()):
        yield None
        return
    with progress_bar("exporting" if output is None else output.name) as set_fraction:
        yield set_fraction


def _fraction(last: int | None, stored: TimeRange | None) -> float:
    """Return which part of the time that is stored lies before the last slot written."""
    first, end = (stored or TimeRange()).bounds()
    return 0.0 if last is None else (last - first) / max(1, end - first)


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
