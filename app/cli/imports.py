"""The command `import`, which stores the prices of files."""

import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from app.cli.command_runtime import command_runtime
from app.cli.options import JsonOption, split_ticker_options
from app.cli.progress import progress_bar
from app.cli.report_formats import utc_or_dash
from app.domain.imports import ImportProgress, ImportRequest, ImportResult, OnProgress
from app.domain.slots import SECONDS_PER_DAY


def import_(  # noqa: PLR0913  # a command's options are many
    *,
    files: Annotated[
        list[Path],
        typer.Argument(help="CSV or Parquet, gzipped or not.", exists=True, dir_okay=False),
    ],
    ticker: Annotated[
        str | None, typer.Option(help="Whose prices they are, where a file does not say it.")
    ] = None,
    exchange: Annotated[
        str | None, typer.Option(help="Whose quotes they are; deribit if nothing says it.")
    ] = None,
    interval: Annotated[
        int | None,
        typer.Option(min=1, max=SECONDS_PER_DAY, help="COLLECT_INTERVAL_SECONDS if left out."),
    ] = None,
    on_error: Annotated[
        Literal["fail", "skip"],
        typer.Option(help="End at the first bad row, or list and skip them."),
    ] = "fail",
    manifest: Annotated[
        Path | None,
        typer.Option(
            help="The manifest of the exported file, which must agree.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Store what files hold and the record lacks; twice is the same as once."""
    from app.core.settings import load_settings

    if manifest is not None and len(files) > 1:
        raise typer.BadParameter("--manifest describes one file: import the files one by one")
    seconds = interval or load_settings().collect_interval_seconds
    if SECONDS_PER_DAY % seconds:
        raise typer.BadParameter(f"--interval {seconds} does not divide a day")
    key = split_ticker_options(ticker, exchange)
    request = ImportRequest(*key, seconds, on_error == "skip", manifest)
    results: list[dict[str, object]] | None = [] if as_json else None
    try:
        asyncio.run(_import(files, request, results))
    finally:
        if results is not None:
            print(json.dumps(results))


async def _import(
    files: Sequence[Path], request: ImportRequest, results: list[dict[str, object]] | None
) -> None:
    """Import one file after another; add what came of each to the results, or print it."""
    async with command_runtime() as runtime:
        for path in files:
            with _showing_progress(path) as on_progress:
                result = await runtime.imports.load(path, request, on_progress)
            if results is None:
                print("\n".join(_summary_lines(path, result)))
            else:
                results.append(_result_data(path, result))


@contextmanager
def _showing_progress(path: Path) -> Iterator[OnProgress]:
    """Draw a bar on a terminal; write a line for each block elsewhere."""
    if not sys.stderr.isatty():
        yield _print_line
        return
    with progress_bar(path.name) as set_fraction:
        yield lambda progress: set_fraction(progress.fraction)


def _print_line(progress: ImportProgress) -> None:
    counts = f"{progress.fraction:.0%}: {progress.read} rows read, {progress.stored} added"
    print(f"{progress.path}  {counts}", file=sys.stderr)


def _summary_lines(path: Path, result: ImportResult) -> Iterator[str]:
    counts = f"{result.added} added, {result.already_stored} in slots that were taken"
    yield f"{path}: {result.read} rows, {counts}, {result.bad} bad"
    yield from (f"{path}:{bad.line}: {bad.fault}" for bad in result.first_bad)
    if unlisted := result.bad - len(result.first_bad):
        yield f"{path}: and {unlisted} more"
    for recording in result.promised:
        last = recording.first_slot if recording.last_slot is None else recording.last_slot
        start, end = utc_or_dash(recording.first_slot), utc_or_dash(last)
        yield f"{recording.key}: recorded from {start} to {end}"


def _result_data(path: Path, result: ImportResult) -> dict[str, object]:
    """Return what came of a file; of bad rows the first twenty are listed."""
    return {
        "file": str(path),
        "rows": result.read,
        "added": result.added,
        "already_stored": result.already_stored,
        "bad": result.bad,
        "bad_rows": [bad._asdict() for bad in result.first_bad],
        "recordings": [
            {**recording.key._asdict(), "from": recording.first_slot, "to": recording.last_slot}
            for recording in result.promised
        ],
    }
