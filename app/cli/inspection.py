"""The commands that inspect what is recorded: `gaps` and `report`."""

import asyncio
import json
import sys
from typing import TYPE_CHECKING

from app.cli.command_runtime import command_runtime
from app.cli.options import FromOption, JsonOption, TickerOption, ToOption, parse_range
from app.cli.report_formats import (
    GAP_COLUMNS,
    gap_data,
    gap_row,
    report_data,
    report_rows,
    report_title,
)
from app.cli.tables import ResultTable, print_result
from app.domain.coverage import Coverage, Quality
from app.domain.prices import TickerKey, TimeRange

if TYPE_CHECKING:
    from app.runtime import Runtime


def gaps(
    *,
    ticker: TickerOption = None,
    from_: FromOption = None,
    to: ToOption = None,
    as_json: JsonOption = False,
) -> None:
    """List every gap: its ticker, first and last slot, how many are missing, and why."""
    coverages = asyncio.run(_load_coverages(parse_range(from_, to), ticker))
    if as_json:
        print(json.dumps([gap_data(row.key, gap) for row in coverages for gap in row.gaps]))
        return
    rows = [gap_row(coverage.key, gap) for coverage in coverages for gap in coverage.gaps]
    if rows:
        table = ResultTable(GAP_COLUMNS, rows, numbers=["missing"])
        print_result([table], "\n".join(map("  ".join, rows)))
    else:
        print("nothing is missing", file=sys.stderr)


def report(
    *,
    ticker: TickerOption = None,
    from_: FromOption = None,
    to: ToOption = None,
    as_json: JsonOption = False,
) -> None:
    """Report on coverage and quality: what is missing, outliers, how late samples are."""
    time_range = parse_range(from_, to)
    reports = asyncio.run(_load_reports(time_range, ticker))
    if as_json:
        print(json.dumps([report_data(*row) for row in reports]))
        return
    tables = [
        ResultTable(("", ""), list(report_rows(*row)), report_title(row[0])) for row in reports
    ]
    print_result(tables, "\n\n".join(map(_report_text, tables)))
    if not reports:
        print("nothing is recorded")


def _report_text(table: ResultTable) -> str:
    return "\n".join([table.title, *(f"  {label:<8}  {text}" for label, text in table.rows)])


async def _load_coverages(time_range: TimeRange, ticker: str | None) -> list[Coverage]:
    async with command_runtime() as runtime:
        return await _coverages(runtime, time_range, ticker)


async def _load_reports(
    time_range: TimeRange, ticker: str | None
) -> list[tuple[Coverage, Quality]]:
    async with command_runtime() as runtime:
        coverages = await _coverages(runtime, time_range, ticker)
        return [(one, await runtime.coverage.measure_quality(one, time_range)) for one in coverages]


async def _coverages(
    runtime: "Runtime", time_range: TimeRange, ticker: str | None
) -> list[Coverage]:
    """Load the coverage of one ticker, or of all."""
    if ticker is None:
        return await runtime.coverage.measure(time_range)
    key = TickerKey.from_input(ticker)
    await runtime.reader.require_known_ticker(key)
    return await runtime.coverage.measure(time_range, [key])
