"""The commands that look at the record: what is missing, how good it is, whether it is sound."""

import asyncio
import json
import sys
from typing import Annotated

import typer

from app.cli.context import command_runtime
from app.cli.options import AsJson, FromMoment, Ticker, ToMoment, key_of, span_between
from app.cli.reports import gap_data, gap_line, report_data, report_lines, utc
from app.domain.coverage import Coverage, Quality
from app.domain.prices import TickerKey, TimeRange


def gaps(
    *,
    ticker: Ticker = None,
    from_: FromMoment = None,
    to: ToMoment = None,
    as_json: AsJson = False,
) -> None:
    """List every gap: its ticker, first and last slot, how many are missing, and why."""
    coverages = asyncio.run(_look(span_between(from_, to), key_of(ticker)))
    if as_json:
        print(json.dumps([gap_data(one.key, gap) for one in coverages for gap in one.gaps]))
        return
    for coverage in coverages:
        for gap in coverage.gaps:
            print(gap_line(coverage.key, gap))
    if not any(coverage.gaps for coverage in coverages):
        print("nothing is missing", file=sys.stderr)


def report(
    *,
    ticker: Ticker = None,
    from_: FromMoment = None,
    to: ToMoment = None,
    as_json: AsJson = False,
) -> None:
    """Report on coverage and quality: what is missing, outliers, how late samples are."""
    span = span_between(from_, to)
    judged = asyncio.run(_judge(span, key_of(ticker)))
    if as_json:
        print(json.dumps([report_data(*one) for one in judged]))
        return
    print("\n\n".join("\n".join(report_lines(*one)) for one in judged) or "nothing is recorded")


def verify(
    *,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Write summaries that are wrong anew.")
    ] = False,
) -> None:
    """Compare the hourly summaries with the rows."""
    hours = asyncio.run(_verify(rebuild=rebuild))
    if not hours:
        print("every hourly summary says what its rows say")
    elif rebuild:
        print(f"{hours} hourly summaries were wrong and are written anew")
    else:
        print(f"{hours} hourly summaries are wrong: `python -m app verify --rebuild` mends them")
        raise typer.Exit(1)


async def _look(span: TimeRange, key: TickerKey | None) -> list[Coverage]:
    async with command_runtime() as runtime:
        if key is not None:
            await runtime.reader.require_known_ticker(key)
        return await runtime.coverage.measure(span, key and [key])


async def _judge(span: TimeRange, key: TickerKey | None) -> list[tuple[Coverage, Quality]]:
    async with command_runtime() as runtime:
        if key is not None:
            await runtime.reader.require_known_ticker(key)
        coverages = await runtime.coverage.measure(span, key and [key])
        return [(one, await runtime.coverage.measure_quality(one, span)) for one in coverages]


async def _verify(*, rebuild: bool) -> int:
    wrong = 0
    async with command_runtime() as runtime:
        async for part in runtime.summaries.verify(rebuild=rebuild):
            wrong += part.wrong
            print(
                f"{part.key}  {utc(part.start)}  {utc(part.end)}  {part.wrong} wrong",
                file=sys.stderr,
            )
    return wrong
