"""The commands `run` and `demo`, without the memory that the command line takes."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable

from app.core.errors import AppError
from app.core.exit_messages import final_message
from app.core.raw_settings import misspelled_settings, raw_log_format
from app.embedded import stack
from app.supervisor.output import JsonOutput, TerminalOutput
from app.supervisor.processes import CannotStart


def run() -> None:
    """Run everything against the real exchange until a signal ends it."""
    with _open_output() as output:
        run_or_exit(lambda: stack.run(output, exchange_problem))


def demo() -> None:
    """Run everything against the simulated exchange until a signal ends it."""
    with _open_output() as output:
        run_or_exit(lambda: stack.demo(output))


def _open_output() -> TerminalOutput:
    output = JsonOutput() if raw_log_format() == "json" else TerminalOutput()
    for name, meant in misspelled_settings().items():
        output.write_message(f"{name} is no setting and is ignored; {meant} is one")
    return output


async def exchange_problem() -> str | None:
    """Request the exchange once, in a process of its own; return why it can't be reached."""
    check = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli.exchange_check"), stdout=PIPE, stderr=DEVNULL
    )
    try:
        answer, _ = await check.communicate()
    finally:
        if check.returncode is None:
            check.kill()
    if check.returncode and not answer:
        return "it could not be asked: python -m app.cli.exchange_check tells why"
    return answer.decode().strip() or None


def run_or_exit(run_stack: Callable[[], None]) -> None:
    """Run a stack to its end; exit with one line if it can't start."""
    try:
        run_stack()
    except (AppError, CannotStart) as error:
        _exit(str(error))
    except OSError as error:
        _exit(f"DATA_DIR can't be used: {error}")


def _exit(reason: str) -> None:
    sys.exit(final_message(reason))
