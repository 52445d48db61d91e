"""The commands `run` and `demo`: everything on this machine, with nothing installed."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from app.local.output import Terminal


def run() -> None:
    """Run everything here: PostgreSQL, Redis, API, worker and beat, on the real exchange."""
    from app.local.stack import run as run_stack

    with _terminal() as terminal:
        keep(lambda: run_stack(terminal, exchange_problem))


def demo() -> None:
    """Run everything here against a stand-in exchange, with two days of history to look at."""
    from app.local.stack import demo as demo_stack

    with _terminal() as terminal:
        keep(lambda: demo_stack(terminal))


def _terminal() -> "Terminal":
    from app.core.settings import misspelled_settings, stated_log_format
    from app.local.output import JsonTerminal, Terminal

    terminal = JsonTerminal() if stated_log_format() == "json" else Terminal()
    for name, meant in misspelled_settings().items():
        terminal.note(f"{name} is no setting and is ignored; {meant} is one")
    return terminal


async def exchange_problem() -> str | None:
    """Have the exchange asked once; say in a few words why it can't be asked."""
    asking = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli.reach"), stdout=PIPE, stderr=DEVNULL
    )
    try:
        words, _ = await asking.communicate()
    finally:
        if asking.returncode is None:
            asking.kill()
    return words.decode().strip() or None


def keep(stack: Callable[[], None]) -> None:
    """Run a stack to its end; what can't start is told in one line."""
    from app.core.endings import last_line
    from app.core.errors import AppError
    from app.local.processes import CannotStart

    try:
        stack()
    except (AppError, CannotStart) as error:
        typer.echo(last_line(str(error)), err=True)
        raise typer.Exit(1) from None
    except OSError as error:
        typer.echo(last_line(f"DATA_DIR can't be used: {error}"), err=True)
        raise typer.Exit(1) from None
