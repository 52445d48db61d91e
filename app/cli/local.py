"""The commands `run` and `demo`: everything on this machine, with nothing installed."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from app.core.settings import Settings
    from app.local.output import Terminal

LONGEST_QUESTION_SECONDS = 5


def run() -> None:
    """Run everything here: PostgreSQL, Redis, API, worker and beat, on the real exchange."""
    from app.local.stack import run as run_stack

    with _terminal() as terminal:
        keep(lambda: run_stack(terminal, _exchange_problem))


def demo() -> None:
    """Run everything here against a stand-in exchange, with two days of history to look at."""
    from app.local.seed import seed
    from app.local.stack import demo as demo_stack

    with _terminal() as terminal:
        keep(lambda: demo_stack(terminal, seed))


def _terminal() -> "Terminal":
    from app.core.settings import misspelled_settings, stated_log_format
    from app.local.output import JsonTerminal, Terminal

    terminal = JsonTerminal() if stated_log_format() == "json" else Terminal()
    for name, meant in misspelled_settings().items():
        terminal.note(f"{name} is no setting and is ignored; {meant} is one")
    return terminal


async def _exchange_problem(settings: "Settings") -> str | None:
    """Ask the exchange once; say in a few words why it can't be asked."""
    from app.core.errors import AppError
    from app.core.settings import load_settings
    from app.runtime import open_runtime

    embedded = load_settings(data_dir=settings.data_dir)  # the servers are known by now
    try:
        async with asyncio.timeout(LONGEST_QUESTION_SECONDS), open_runtime(embedded) as runtime:
            await runtime.collector.unknown_tickers()
    except AppError as error:
        return str(error)
    except TimeoutError:
        return f"no answer within {LONGEST_QUESTION_SECONDS} s"
    return None


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
