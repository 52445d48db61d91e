"""The command that verifies the hourly summaries, and rebuilds wrong ones with `--rebuild`."""

import asyncio
import sys
from typing import Annotated

import typer

from app.cli.command_runtime import command_runtime
from app.cli.report_formats import utc_or_dash


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


async def _verify(*, rebuild: bool) -> int:
    wrong = 0
    async with command_runtime() as runtime:
        async for checked in runtime.summaries.verify(rebuild=rebuild):
            wrong += checked.wrong
            first, last = utc_or_dash(checked.start), utc_or_dash(checked.end)
            print(f"{checked.key}  {first}  {last}  {checked.wrong} wrong", file=sys.stderr)
    return wrong
