"""The command `forget`, which deletes rows of a ticker."""

import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.command_runtime import command_runtime
from app.cli.exit_codes import ExitCode
from app.cli.options import FromOption, JsonOption, ToOption, parse_range
from app.cli.report_formats import utc_or_dash
from app.domain.deletion import RowCounts, Selection
from app.domain.prices import Source, TickerKey

if TYPE_CHECKING:
    from app.runtime import Runtime


def forget(  # noqa: PLR0913  # a command's options are many
    *,
    ticker: Annotated[str, typer.Argument(help="Such as btc_usd or exchange:ticker.")],
    from_: FromOption = None,
    to: ToOption = None,
    source: Annotated[
        Source | None, typer.Option(help="Only rows of this source; all if left out.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove rows for good; with neither period nor source, all that is known of the ticker."""
    key = TickerKey.from_input(ticker)
    selection = Selection(key, parse_range(from_, to), source)
    counts = asyncio.run(_forget(selection, yes=yes))
    if as_json:
        print(json.dumps({**key._asdict(), "rows": counts.rows, **asdict(counts)}))
    else:
        print(f"{counts.rows:,} rows of {key} are forgotten")


async def _forget(selection: Selection, *, yes: bool) -> RowCounts:
    async with command_runtime(quiet=True) as runtime:
        await runtime.reader.require_known_ticker(selection.key)
        counts = await runtime.deletion.count(selection)
        print("\n".join(_preview_lines(runtime, selection, counts)), file=sys.stderr)
        if not (counts.rows or selection.is_whole):
            return counts
        if not yes:
            _require_confirmation()
        return await runtime.deletion.delete(selection)


def _require_confirmation() -> None:
    """Ask on the terminal, and exit unless the answer is yes."""
    if not sys.stdin.isatty():
        print("refused: nobody can be asked here, so --yes is needed", file=sys.stderr)
        raise typer.Exit(ExitCode.REFUSED)
    print("Forget them for good? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise typer.Exit(ExitCode.REFUSED)


def _preview_lines(runtime: "Runtime", selection: Selection, counts: RowCounts) -> Iterator[str]:
    first, last = utc_or_dash(counts.first), utc_or_dash(counts.last)
    yield f"{selection.key}: {counts.rows:,} rows, {first} to {last}"
    for source, rows in counts.by_source.items():
        yield f"  {source}  {rows:,}"
    if selection.is_whole:
        yield "  with its recordings, and what is noted of its gaps"
        if selection.key in {TickerKey(*index) for index in runtime.settings.indices}:
            yield "  it is in TICKERS: with its next price a new record begins"
    else:
        yield "  slots that a recording promises become gaps, which the repair fills if it can;"
        yield "  a ticker without any row left is forgotten with its recordings"
