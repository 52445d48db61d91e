"""The commands `run` and `demo`, without the weight of the command line that names them."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable

from app.core.errors import AppError
from app.core.exit_messages import final_message
from app.core.raw_settings import misspelled_settings, raw_log_format
from app.embedded import stack
from app.supervisor.output import JsonTerminal, Terminal
from app.supervisor.processes import CannotStart


def run() -> None:
    """Run everything against the real exchange until a signal ends it."""
    with _terminal() as terminal:
        keep(lambda: stack.run(terminal, exchange_problem))


def demo() -> None:
    """Run everything against a stand-in exchange until a signal ends it."""
    with _terminal() as terminal:
        keep(lambda: stack.demo(terminal))


def _terminal() -> Terminal:
    terminal = JsonTerminal() if raw_log_format() == "json" else Terminal()
    for name, meant in misspelled_settings().items():
        terminal.note(f"{name} is no setting and is ignored; {meant} is one")
    return terminal


async def exchange_problem() -> str | None:
    """Have the exchange asked once; say in a few words why it can't be asked."""
    asking = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli.exchange_check"), stdout=PIPE, stderr=DEVNULL
    )
    try:
        words, _ = await asking.communicate()
    finally:
        if asking.returncode is None:
            asking.kill()
    if asking.returncode and not words:
        return "it could not be asked: python -m app.cli.exchange_check tells why"
    return words.decode().strip() or None


def keep(play: Callable[[], None]) -> None:
    """Run a stack to its end; what can't start is told in one line."""
    try:
        play()
    except (AppError, CannotStart) as error:
        _end(str(error))
    except OSError as error:
        _end(f"DATA_DIR can't be used: {error}")


def _end(why: str) -> None:
    sys.exit(final_message(why))
