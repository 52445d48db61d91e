"""The command `backfill`, which fills missing prices and shows its progress."""

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer

from app.cli.command_runtime import command_runtime
from app.cli.exit_codes import ExitCode
from app.cli.options import (
    FromOption,
    JsonOption,
    TickerOption,
    ToOption,
    parse_range,
    split_ticker_options,
)
from app.domain.repairs import OnProgress, RepairProgress, RepairRequest, RepairResult

MAX_SECONDS = 600.0


def backfill(  # noqa: PLR0913  # a command's options are many
    *,
    ticker: TickerOption = None,
    exchange: Annotated[str | None, typer.Option(help="One exchange; all if left out.")] = None,
    from_: FromOption = None,
    to: ToOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Ask again for what the exchange could not give.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Fill missing prices from the exchange's charts, here and now, without Celery."""
    request = RepairRequest(*split_ticker_options(ticker, exchange), parse_range(from_, to), force)
    with _showing_progress() as on_progress:
        result = asyncio.run(_repair(request, on_progress))
    print(json.dumps(asdict(result)) if as_json else _summary(result))
    if result.failed or result.remaining:
        raise typer.Exit(ExitCode.FAILED)


async def _repair(request: RepairRequest, on_progress: OnProgress) -> RepairResult:
    async with command_runtime(broker=True, quiet=True) as runtime:
        return await runtime.repair.run_requested(
            request, seconds=MAX_SECONDS, on_progress=on_progress
        )


@contextmanager
def _showing_progress() -> Iterator[OnProgress]:
    """Draw a bar on a terminal; write a line for each chunk elsewhere."""
    if not sys.stderr.isatty():
        yield _print_line
        return
    with typer.progressbar(length=1, label="repairing", file=sys.stderr) as bar:

        def update(progress: RepairProgress) -> None:
            bar.length = max(1, progress.total)
            bar.update(progress.done - bar.pos)

        yield update


def _print_line(progress: RepairProgress) -> None:
    line = f"{progress.total} still to be filled"
    if progress.key is not None:
        line = (
            f"{progress.key} from the {progress.chart} chart: {progress.filled} filled, "
            f"{progress.unfillable} unfillable; {progress.done} of {progress.total} done"
        )
    print(line, file=sys.stderr)


def _summary(result: RepairResult) -> str:
    sums = f"{result.filled} filled, {result.unfillable} unfillable, {result.remaining} remaining"
    failures = [f"{ticker}: failed, {code}" for ticker, code in result.failed.items()]
    return "\n".join([sums, *failures])
