"""What `run` and `demo` have in common, without the memory that the command line takes."""

import sys
from collections.abc import Callable

from app.core.errors import AppError
from app.core.exit_messages import final_message
from app.core.raw_settings import misspelled_settings, raw_log_format
from app.supervisor.output import JsonOutput, TerminalOutput
from app.supervisor.processes import CannotStart


def run_or_exit(run_stack: Callable[[TerminalOutput], None]) -> None:
    """Run a stack until a signal ends it; exit with one line if it can't start."""
    with JsonOutput() if raw_log_format() == "json" else TerminalOutput() as output:
        for name, meant in misspelled_settings().items():
            output.write_message(f"{name} is no setting and is ignored; {meant} is one")
        try:
            run_stack(output)
        except (AppError, CannotStart) as error:
            sys.exit(final_message(str(error)))
        except OSError as error:
            sys.exit(final_message(f"DATA_DIR can't be used: {error}"))
