"""The command that repairs what is missing, and shows how far it is."""

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer

from app.cli.context import command_runtime
from app.cli.options import AsJson, FromMoment, Ticker, ToMoment, span_between, split_ticker_option
from app.domain.repairs import OnProgress, Progress, RepairRequest, RepairResult

MAX_SECONDS = 600.0


def backfill(  # noqa: PLR0913  # a command's options are many
    *,
    ticker: Ticker = None,
    exchange: Annotated[str | None, typer.Option(help="One exchange; all if left out.")] = None,
    from_: FromMoment = None,
    to: ToMoment = None,
    force: Annotated[
        bool, typer.Option("--force", help="Ask again for what the exchange could not give.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fill missing prices from the exchange's charts, here and now, without Celery."""
    named_exchange, name = split_ticker_option(ticker, exchange)
    request = RepairRequest(named_exchange, name, span_between(from_, to), force)
    with _showing_progress() as tell:
        repaired = asyncio.run(_repair(request, tell))
    print(json.dumps(asdict(repaired)) if as_json else _in_words(repaired))
    if repaired.failed or repaired.remaining:
        raise typer.Exit(1)


async def _repair(request: RepairRequest, tell: OnProgress) -> RepairResult:
    async with command_runtime(broker=True, quiet=True) as runtime:
        return await runtime.repair.run_requested(request, seconds=MAX_SECONDS, on_progress=tell)


@contextmanager
def _showing_progress() -> Iterator[OnProgress]:
    """Draw a bar on a terminal; write a line for each chunk elsewhere."""
    if not sys.stderr.isatty():
        yield _print_line
        return
    with typer.progressbar(length=1, label="repairing", file=sys.stderr) as bar:

        def move(progress: Progress) -> None:
            bar.length = max(1, progress.total)
            bar.update(progress.done - bar.pos)

        yield move


def _print_line(progress: Progress) -> None:
    words = f"{progress.total} still to be filled"
    if progress.key is not None:
        words = (
            f"{progress.key} from the {progress.chart} chart: {progress.filled} filled, "
            f"{progress.unfillable} unfillable; {progress.done} of {progress.total} done"
        )
    print(words, file=sys.stderr)


def _in_words(repaired: RepairResult) -> str:
    counts = {name: getattr(repaired, name) for name in ("filled", "unfillable", "remaining")}
    sums = ", ".join(f"{amount} {name}" for name, amount in counts.items())
    failures = [f"{ticker}: failed, {code}" for ticker, code in repaired.failed.items()]
    return "\n".join([sums, *failures])
