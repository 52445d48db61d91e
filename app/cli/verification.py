"""The command that verifies the hourly summaries, and rebuilds wrong ones with `--rebuild`."""

import asyncio
import json
import sys
from typing import Annotated

import typer

from app.cli.command_runtime import command_runtime
from app.cli.exit_codes import ExitCode
from app.cli.options import JsonOption
from app.cli.report_formats import utc_or_dash


def verify(
    *,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Write summaries that are wrong anew.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare the hourly summaries with the rows; end with 1 if some are wrong and stay so."""
    hours = asyncio.run(_verify(rebuild=rebuild))
    if as_json:
        print(json.dumps({"wrong_hours": hours, "rebuilt": rebuild and hours > 0}))
    else:
        _print_summary(hours, rebuild=rebuild)
    if hours and not rebuild:
        raise typer.Exit(ExitCode.FAILED)


def _print_summary(hours: int, *, rebuild: bool) -> None:
    if not hours:
        print("every hourly summary says what its rows say")
    elif rebuild:
        print(f"{hours} hourly summaries were wrong and are written anew")
    else:
        print(f"{hours} hourly summaries are wrong: `python -m app verify --rebuild` mends them")


async def _verify(*, rebuild: bool) -> int:
    wrong = 0
    async with command_runtime() as runtime:
        async for checked in runtime.summaries.verify(rebuild=rebuild):
            wrong += checked.wrong
            first, last = utc_or_dash(checked.start), utc_or_dash(checked.end)
            print(f"{checked.key}  {first}  {last}  {checked.wrong} wrong", file=sys.stderr)
    return wrong
