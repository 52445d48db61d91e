"""The command that removes what should not be in the record."""

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.context import command_runtime
from app.cli.options import AsJson, FromMoment, ToMoment, key_of, span_between
from app.cli.reports import utc
from app.domain.deletion import RowCounts, Selection
from app.domain.prices import DEFAULT_EXCHANGE, Source, TickerKey

if TYPE_CHECKING:
    from app.runtime import Runtime

REFUSED = 2
"""The exit code where nobody said yes."""


def forget(  # noqa: PLR0913  # a command's options are many
    *,
    ticker: Annotated[str, typer.Argument(help="Such as btc_usd or exchange:ticker.")],
    from_: FromMoment = None,
    to: ToMoment = None,
    source: Annotated[
        Source | None, typer.Option(help="Only rows of this source; all if left out.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove rows for good; with neither period nor source, all that is known of the ticker."""
    key = key_of(ticker) or TickerKey(DEFAULT_EXCHANGE, ticker)
    selection = Selection(key, span_between(from_, to), source)
    stock = asyncio.run(_forget(selection, yes=yes))
    if as_json:
        print(json.dumps(_data(selection, stock)))
    else:
        print(f"{stock.rows:,} rows of {key} are forgotten")


async def _forget(selection: Selection, *, yes: bool) -> RowCounts:
    async with command_runtime(quiet=True) as runtime:
        await runtime.reader.require_known_ticker(selection.key)
        stock = await runtime.deletion.count(selection)
        print("\n".join(_in_words(runtime, selection, stock)), file=sys.stderr)
        if not (stock.rows or selection.is_whole):
            return stock
        if not yes:
            _ask()
        return await runtime.deletion.delete(selection)


def _ask() -> None:
    """Go on only if someone says yes."""
    if not sys.stdin.isatty():
        print("refused: nobody can be asked here, so --yes is needed", file=sys.stderr)
        raise typer.Exit(REFUSED)
    print("Forget them for good? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise typer.Exit(REFUSED)


def _in_words(runtime: "Runtime", selection: Selection, stock: RowCounts) -> Iterator[str]:
    yield f"{selection.key}: {stock.rows:,} rows, {utc(stock.first)} to {utc(stock.last)}"
    for source, rows in stock.by_source.items():
        yield f"  {source}  {rows:,}"
    if selection.is_whole:
        yield "  with its recordings, and what is noted of its gaps"
        if selection.key in _configured(runtime):
            yield "  it is in TICKERS: with its next price a new record begins"
    else:
        yield "  slots that a recording promises become gaps, which the repair fills if it can"


def _configured(runtime: "Runtime") -> set[TickerKey]:
    return {TickerKey(*index) for index in runtime.settings.indices}


def _data(selection: Selection, stock: RowCounts) -> dict[str, object]:
    return {
        **selection.key._asdict(),
        "rows": stock.rows,
        "first": stock.first,
        "last": stock.last,
        "by_source": dict(stock.by_source),
    }
